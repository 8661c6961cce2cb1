// The hours that a logger or a platform reported, beside ours: each difference with its cause, or said to have none.
import { folded, gas, h, pill } from "./elements.js";
import { fixed, named, time, word } from "./words.js";

const SAYERS = ["reported", "platform"];
const POLLUTANTS = ["so2", "nox", "pm"];
const MINUTE_S = 60;

const sayers = (lines) => SAYERS.filter((sayer) => lines.some((line) => line[sayer]));
const unexplained = (line) => SAYERS.some((sayer) => line[sayer] && !line[sayer].explained);

/** What the way of computing that gives the digits was set to, where a person can act on it. */
function setting(deviations) {
  return [
    "shift_s" in deviations ? word("shifted", { n: fixed(deviations.shift_s / MINUTE_S, 0) }) : null,
    "base_o2" in deviations ? (deviations.base_o2 === null ? word("no_base") : word("base", { n: deviations.base_o2 })) : null,
  ].filter(Boolean).join(", ");
}

function causeView(said, all) {
  if (!said.explained) return pill(word("cause_unexplained"), "warn");
  const way = said.ways[0];
  const of = way ? setting(way.deviations) : "";
  const text = said.causes.map((cause) => named("cause", cause)).join(" + ") + (of ? ` (${of})` : "");
  return h("span", {}, text, way ? h("span.soft", {}, ` ${word("in_hours", { n: way.periods, all })}`) : null);
}

/** One difference and its cause, or one for each who reported, where they reported otherwise. */
function perSayer(line, view) {
  const [first, second] = SAYERS.filter((sayer) => line[sayer]);
  if (!second || (line[first].value === line[second].value && String(line[first].causes) === String(line[second].causes))) return view(line[first]);
  return [first, second].map((sayer) => h("div", {}, h("span.soft", {}, `${word(sayer)}: `), view(line[sayer])));
}

function lineView(line, shown, all) {
  const digits = Math.max(...shown.map((sayer) => line[sayer]?.digits ?? 0));
  return h(`tr${unexplained(line) ? ".odd" : ""}`, {},
    h("th", { scope: "row" }, gas(line.channel), line.value === "corrected" ? h("span.soft", {}, ` ${word("corrected")}`) : null),
    h("td", { "data-title": word("ours") }, fixed(line.ours, digits + 2)),
    shown.map((sayer) => h("td", { "data-title": word(sayer) }, line[sayer] ? fixed(line[sayer].value, line[sayer].digits) : "–")),
    h("td", { "data-title": word("difference") }, perSayer(line, (said) => fixed(said.difference, said.digits + 2, true))),
    h("td.cause", {}, perSayer(line, (said) => causeView(said, all))));
}

function hoursOf(lines) {
  const hours = new Map();
  const sorted = [...lines].sort((a, b) => POLLUTANTS.indexOf(a.channel) - POLLUTANTS.indexOf(b.channel) || (a.value < b.value ? 1 : -1));
  for (const line of sorted) hours.set(line.start, [...(hours.get(line.start) ?? []), line]);
  return [...hours].sort(([a], [b]) => (a < b ? 1 : -1));
}

/** How often each cause, the unexplained first: what a person looks for before any row. */
function tally(lines) {
  const counts = new Map();
  for (const said of lines.flatMap((line) => SAYERS.map((sayer) => line[sayer])).filter(Boolean)) {
    const cause = said.explained ? said.causes.map((one) => named("cause", one)).join(" + ") : null;
    if (cause !== null) counts.set(cause, (counts.get(cause) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([cause, n]) => pill(`${cause} ${n}`));
}

function tableView(site, stack, lines) {
  const shown = sayers(lines);
  const all = (line) => lines.filter((other) => other.channel === line.channel && other.value === line.value).length;
  const titles = ["pollutant", "ours", ...shown, "difference", "cause"];
  return h("div.wide.long", { tabindex: "0", role: "group", "aria-label": word("reported_hours"), "data-keep": `reported-rows-${site.code}-${stack.code}` },
    h("table.reported", {},
      h("thead", {}, h("tr", {}, titles.map((title) => h("th", { scope: "col" }, word(title))))),
      hoursOf(lines).map(([start, own]) => h("tbody", {},
        h("tr.hour", {}, h("th", { scope: "rowgroup", colspan: titles.length }, time(start, site.timezone))),
        own.map((line) => lineView(line, shown, all(line)))))));
}

/** *lines*: what the API said; true while it is only known that something was reported; nothing where nothing was. */
export function reportedView(site, stack, lines, load) {
  if (!lines || lines.length === 0) return null;
  const odd = lines === true ? 0 : lines.filter(unexplained).length;
  const title = [word("reported_hours"),
    lines === true ? null : pill(odd ? word("n_unexplained", { n: odd }) : word("all_explained"), odd ? "warn" : "good")];
  const fold = folded(`reported-${site.code}-${stack.code}`, title,
    lines === true ? h("p.soft", {}, word("computing"))
      : [h("p.row", {}, tally(lines)), tableView(site, stack, lines), h("p.soft", {}, `mg/m³ · ${word("reported_hint")}`)]);
  if (lines === true) fold.addEventListener("toggle", () => fold.open && load());
  return fold;
}
