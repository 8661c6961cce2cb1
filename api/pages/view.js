// From answers to elements: alerts, cases, sites with their months, books, health.
import { edgesPill, edgesView } from "./edges.js";
import { folded, gas, h, pill } from "./elements.js";
import { figureLine, pairs, weighed } from "./figures.js";
import { isQuiet } from "./grouped.js";
import { reportedView } from "./reported.js";
import { about, isLead, title } from "./rules.js";
import { current, moment, named, number, percent, time, word } from "./words.js";

const SEVERITY = { critical: "bad", major: "bad", warning: "warn", info: "" };
const VERDICT = { breached: "bad", undecided: "warn", clear: "good", running: "" };
const STATE = { suspended: "bad", restricted: "warn", trial: "warn", operating: "good" };
const CASE = { suspended: "bad", detected: "warn", verified: "warn", decided: "warn", trial: "warn", lifted: "good" };

/** A form that asks for a text and one of several words; `send(text, chosen)` may fail, and then says why. */
export function asking(id, label, choices, send) {
  const area = h("textarea", { rows: "2", required: true, "data-keep": id });
  const fault = h("p.pill.bad", { role: "alert", hidden: true });
  const form = h("form.act", {
    onsubmit: async (submit) => {
      submit.preventDefault();
      const buttons = [...form.querySelectorAll("button")];
      buttons.forEach((button) => (button.disabled = true));
      try {
        await send(area.value, submit.submitter?.value ?? choices[0].value);
        area.value = "";
      } catch (error) {
        fault.textContent = error.message;
        fault.hidden = false;
      } finally {
        buttons.forEach((button) => (button.disabled = false));
      }
    },
  }, h("label", {}, label, area), fault,
  h("div.row", {}, choices.map(({ value, text }) => h("button", { type: "submit", value }, text))));
  return form;
}

export function alertCard(alert, site, acknowledge) {
  const zone = site?.timezone;
  const monthly = alert.rule === "month_below_share";
  const period = monthly ? time(alert.period_start, zone).slice(0, 7) : moment(alert.period_start, zone);
  const words = weighed(alert).evidence?.words?.[current()];
  const over = alert.state === "resolved" || alert.state === "withdrawn";
  const quiet = isQuiet(alert) && !over;
  return h(`article.card.alert.${alert.severity}.${alert.state}${quiet ? ".quiet" : ""}`, {},
    h("div.row", {},
      pill(word(alert.severity), over ? "" : SEVERITY[alert.severity]),
      h("strong", {}, title(alert.rule)),
      isLead(alert.rule) ? pill(word("lead")) : null,
      site?.simulated ? pill(word("simulated"), "warn") : null,
      h("span.end", {}, pill(word(alert.state)))),
    h("p.figure", {}, figureLine(alert)),
    words ? h("p", {}, words) : null,
    quiet ? h("p.soft", {}, `${word("quiet")}: ${alert.suppressed_by.map((why) => named("quiet", why.reason)).join(", ")}`) : null,
    h("p.soft", {}, `${site?.shown ?? alert.site ?? "stackwatch"} · ${alert.stack ?? alert.evidence?.edge ?? ""} · ${period}`),
    folded(`alert-${alert.id}`, word("numbers"),
      ruleView(alert.rule),
      pairs({ clause: alert.clause, started: alert.started_at, ended: alert.ended_at, ...alert.evidence, id: alert.id }, zone),
      alert.state === "firing"
        ? asking(`note-${alert.id}`, word("note"), [{ value: "", text: word("acknowledge") }], (note) => acknowledge(alert, note))
        : null));
}

/** What the rule says, in the words of its manual (English), and of a lead what else explains it. */
function ruleView(name) {
  const rule = about(name);
  if (!rule) return null;
  const rate = rule.false_per_stack_month;
  return [
    h("p.soft", { lang: "en" }, rule.says),
    rule.otherwise ? h("p", { lang: "en" }, h("strong", {}, `${word("otherwise")}: `), rule.otherwise) : null,
    rule.lead && rate !== null ? h("p.soft", {}, word("false_leads", { n: number(rate) })) : null,
  ];
}

export function caseCard(file, site, act) {
  const zone = site?.timezone;
  const orders = file.orders.filter((order) => !order.ended_at);
  const forms = file.actions.map((action) => ({ value: action, text: word(action) }));
  return h("article.card", {},
    h("div.row", {},
      pill(word(file.state), CASE[file.state] ?? ""),
      h("strong", {}, `${site?.shown ?? file.site} · ${file.units.join(", ")}`),
      site?.simulated ? pill(word("simulated"), "warn") : null,
      h("span.end.soft", {}, file.id)),
    h("p.soft", {}, `${word(file.track)} · ${word("opened")} ${time(file.opened_at, zone)}`,
      file.due ? ` · ${word("due")} ${time(file.due, zone)}` : ""),
    orders.map((order) => h("p", {}, `${order.units.map((unit) => `${unit.unit}: ${word(unit.mode)}`).join(", ")}`,
      h("span.soft", {}, ` ${word("safe_by")} ${time(order.safe_state_by, zone)} · ${order.basis}`))),
    file.trial ? h("p", {}, `${word("trial")}: `,
      file.trial.series.map((run) => `${gas(run.pollutant)} ${run.stack} ${run.clean ?? "–"}/${file.trial.required}`).join(", ")) : null,
    folded(`case-${file.id}`, `${word("events")} (${file.events.length})`,
      h("ol.events", {}, file.events.map((event) => h("li", {},
        h("strong", {}, word(event.action === "open" ? "open_action" : event.action)),
        ` ${time(event.at, zone)}${event.actor ? ` · ${event.actor} (${event.role})` : ""}`,
        event.reason ? h("div", {}, event.reason) : null)))),
    forms.length ? folded(`act-${file.id}`, `${word("you_may")}: ${forms.map((form) => form.text).join(", ")}`,
      asking(`reason-${file.id}`, word("reason"), forms, (reason, action) => act(file, action, reason))) : null);
}

function monthView(pollutant, month, hour) {
  const kind = month ? (month.verdict === "breached" ? "bad" : month.budget_left <= 2 ? "warn" : "") : "";
  const excluded = month ? Object.values(month.hours_excluded).reduce((sum, hours) => sum + hours, 0) : 0;
  const required = month ? Number(month.required) : 0.95;
  // Shares are near 1: the bar shows the upper part, from 80 %, and the mark is what is required.
  const place = (share) => `${Math.max(0, Math.min(1, (share - 0.8) / 0.2)) * 100}%`;
  const bar = h(`div.share${kind && "." + kind}`, { "aria-hidden": "true" }, h("div.fill"), h("div.mark"));
  bar.querySelector(".fill").style.width = place(month?.share ?? 0.8);
  bar.querySelector(".mark").style.left = place(required);
  return h("div", {},
    h("div.row", {}, h("strong", {}, gas(pollutant)), month ? h("span.figure", {}, percent(month.share)) : null,
      month ? h("span.end", {}, pill(word(month.verdict), VERDICT[month.verdict])) : null),
    month ? bar : null,
    month && !month.hours_valid ? null : month
      ? h("p", {}, month.budget_left >= 0 ? word("budget_left", { n: month.budget_left }) : word("budget_gone", { n: -month.budget_left }))
      : h("p.soft", {}, word("no_month")),
    month ? h("p.soft", {}, [
      month.hours_valid ? word("within", { n: month.hours_within, all: month.hours_valid }) : word("no_valid_hour"),
      month.hours_undecided ? word("undecided_hours", { n: month.hours_undecided }) : null,
      excluded ? word("excluded_hours", { n: excluded }) : null,
      month.share_worst !== null && month.share_worst !== month.share ? word("worst_share", { n: percent(month.share_worst) }) : null,
    ].filter(Boolean).join(" · ")) : null,
    hour ? h("p.soft", {}, `${word("this_hour")}: ${hour.corrected === null ? word("no_minutes")
      : `${number(hour.corrected)} / ${number(hour.limit)} mg/m³, ${word("minutes", { n: hour.valid_minutes ?? 0 })}`}`) : null,
    !hour ? null : hour.saveable === false ? h("p", {}, pill(word("lost_hour"), "bad"))
      : hour.saveable && hour.keep_below !== null ? h("p.soft", {}, word("safe_below", { n: number(hour.keep_below) })) : null);
}

/** *status*: as the operator sees it, or for the public its stacks; `reported(stack)` gives their reported hours. */
export function siteCard(site, status, reported, load) {
  const fictional = site.instruments.some((text) => isFictional(text.citation));
  return h("article.card", {},
    h("div.row", {},
      h("h3", {}, site.shown), pill(word(site.state === "trial" ? "trial_state" : site.state), STATE[site.state]),
      site.simulated ? pill(word("simulated"), "warn") : null, fictional ? pill(word("fictional"), "warn") : null, edgesPill(status?.edges)),
    h("p.soft", {}, `${site.code} · ${site.region_shown} · ${word("now")} ${moment(site.now, site.timezone)}`),
    (status?.stacks ?? []).map((stack) => {
      const names = [...new Set(["so2", "nox", "pm", ...Object.keys(stack.hour), ...Object.keys(stack.month)])]
        .filter((name) => stack.hour[name] || stack.month[name]);
      return h("div.stack", {},
        h("div.row", {}, h("strong", {}, `${stack.code} ${stack.name}`),
          h("span.end.soft", {}, stack.last_sample_at ? `${word("last_sample")} ${time(stack.last_sample_at, site.timezone)}` : "")),
        names.length
          ? h("div.months", {}, names.map((name) => monthView(name, stack.month[name], stack.hour[name])))
          : h("p.soft", {}, word("no_month")),
        reportedView(site, stack, reported(stack), () => load(stack)));
    }),
    edgesView(site, status?.edges, site.now));
}

const FATES = ["published", "stored", "duplicate", "conflict", "quarantined", "dropped", "in_flight", "unexplained"];
const LOSSES = { dropped: "warn", quarantined: "warn", unexplained: "bad" };

/** The books of a site: a line an edge, summed over *lines*; *missing* counts rows of the last ended hour, if known. */
export function booksCard(site, lines, missing) {
  const edges = [...new Set(lines.map((line) => line.edge))].sort();
  const sum = (edge, fate) => lines.filter((line) => line.edge === edge).reduce((all, line) => all + line[fate], 0);
  return h("article.card", {},
    h("div.row", {}, h("h3", {}, site?.shown ?? lines[0].site),
      missing ? h("span.end", {}, pill(word("missing_rows", { n: number(missing.missing), all: number(missing.expected) }),
        missing.missing ? "warn" : "good")) : null),
    h("div.wide", { tabindex: "0", role: "group", "aria-label": word("books") }, h("table.counts", {},
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, word("edge")), FATES.map((fate) => h("th", { scope: "col" }, word(fate))))),
      h("tbody", {}, edges.map((edge) => h("tr", {}, h("th", { scope: "row" }, edge), FATES.map((fate) => {
        const rows = sum(edge, fate);
        return h("td", { "data-title": word(fate) }, rows && LOSSES[fate] ? pill(number(rows), LOSSES[fate]) : number(rows));
      })))))));
}

export const isFictional = (text) => /fictional|fictitious|虚构/i.test(text);

export function healthView(health) {
  return h("article.card", {}, h("ul.health", {}, Object.entries(health.checks).map(([name, check]) =>
    h("li.row", {}, pill(word(check.ok ? "works" : "fails"), check.ok ? "good" : "bad"), h("strong", {}, word(name)),
      h("span.soft", {}, check.detail)))));
}
