// Marks: what the plant would have to declare, and what the agency has to decide; chosen ones are dealt with together.
import { folded, gas, h, pill } from "./elements.js";
import { asking } from "./view.js";
import { number, percent, time, word } from "./words.js";

const KEY = { accepted: "accept", rejected: "reject", file: "file_mark", dismiss: "dismiss_draft" };

/** A box to choose one of several; *chosen* outlives the drawing. */
const tick = (chosen, id, ...label) => h("label.tick", {},
  h("input", { type: "checkbox", value: id, checked: chosen.has(id),
    onchange: ({ target }) => (target.checked ? chosen.add(id) : chosen.delete(id)) }),
  h("span", {}, ...label));

/** One reason for all that are chosen of *ids*, and what may be done with them. */
function together(id, actions, chosen, ids, send) {
  if (!actions.length) return null;
  return asking(id, word("reason"), actions.map((action) => ({ value: action, text: word(KEY[action]) })), async (reason, action) => {
    const some = ids.filter((one) => chosen.has(one));
    if (!some.length) throw new Error(word("choose_some"));
    await send(some, action, reason);
    some.forEach((one) => chosen.delete(one));
  });
}

const groups = (items, key) => [...items.reduce((all, item) => all.set(key(item), [...(all.get(key(item)) ?? []), item]), new Map()).values()];
const period = (one, zone) => `${time(one.start, zone)} – ${time(one.end, zone)}`;

/** Open drafts by stack. */
export function draftsCard(drafts, siteOf, chosen, send) {
  return h("article.card", {},
    h("h3", {}, word("drafts"), " ", pill(number(drafts.length), drafts.some((draft) => draft.late) ? "bad" : "warn")),
    h("p.soft", {}, word("drafts_hint")),
    groups(drafts, (draft) => `${draft.site}/${draft.stack}`).map((own) => {
      const site = siteOf(own[0].site), zone = site?.timezone;
      const ids = own.map((draft) => draft.id), actions = own[0].actions;
      return h("div.stack", {},
        h("strong", {}, `${site?.shown ?? own[0].site} · ${own[0].stack}`),
        own.map((draft) => {
          const said = [
            h("strong", {}, word(draft.kind)), ` ${period(draft, zone)}${draft.goes_on ? ` ${word("goes_on")}` : ""} `,
            h("span.soft", {}, `${word("said_by", { cause: draft.cause, n: number(draft.evidence.rows) })} · `),
            pill(`${word(draft.late ? "was_due" : "due")} ${time(draft.deadline, zone)}`, draft.late ? "bad" : ""),
          ];
          return actions.length ? tick(chosen, draft.id, ...said) : h("p", {}, ...said);
        }),
        together(`drafts-${own[0].site}-${own[0].stack}`, actions, chosen, ids, send));
    }));
}

/** The queue of pending marks, a group a kind and stack. */
export function queueCard(queue, siteOf, chosen, send) {
  const marks = queue.flatMap((group) => group.marks);
  return h("article.card", {},
    h("h3", {}, word("marks_to_decide"), " ", pill(number(marks.length), "warn")),
    queue.map((group) => {
      const site = siteOf(group.site), zone = site?.timezone;
      return h("div.stack", {},
        h("div.row", {}, h("strong", {}, `${site?.shown ?? group.site} · ${group.stack} · ${word(group.kind)}`),
          site?.simulated ? pill(word("simulated"), "warn") : null,
          h("span.soft", {}, word("n_hours", { n: number(group.hours) })),
          group.late ? pill(word("n_late", { n: group.late }), "warn") : null),
        group.marks.map((mark) => {
          const said = [
            `${period(mark, zone)} `, mark.late ? pill(word("late"), "warn") : null,
            mark.quota?.over ? pill(word("over_quota", { n: number(mark.quota.used_h), all: number(mark.quota.hours) }), "warn") : null,
            h("div.soft", {}, `${mark.filed_by}${mark.source === "auto" ? ` · ${word("from_draft")}` : ""}: ${mark.reason}`),
          ];
          return h("div.mark", {},
            group.actions.length ? tick(chosen, mark.id, ...said) : h("p", {}, ...said), effectView(mark));
        }));
    }),
    together("queue", queue[0].actions, chosen, marks.map((mark) => mark.id), send));
}

/** What accepting a mark would change, in a line a month and pollutant. */
function effectView(mark) {
  if (!mark.effect) return h("p.soft", {}, word("effect_long"));
  const changed = mark.effect.months.filter(({ accepted, not_accepted: without }) =>
    accepted.share !== without.share || accepted.share_worst !== without.share_worst
    || accepted.budget_left !== without.budget_left || accepted.verdict !== without.verdict);
  if (!changed.length) return h("p.soft", {}, word("effect_none"));
  return folded(`effect-${mark.id}`, word("effect", { n: mark.effect.hours.length }), h("ul", {}, changed.map((month) =>
    h("li", {}, `${gas(month.pollutant)} ${month.month} (${month.pack}): `,
      arrow(month, "share", percent), ", ", word("worst_share", { n: arrow(month, "share_worst", percent) }), ", ",
      word("left", { n: arrow(month, "budget_left", number) }), ", ", arrow(month, "verdict", word)))));
}

const arrow = ({ not_accepted: without, accepted }, key, shown) =>
  without[key] === accepted[key] ? shown(accepted[key]) : `${shown(without[key])} → ${shown(accepted[key])}`;
