// Open alerts of one site and kind as one card that opens into them.
import { folded, h, pill } from "./elements.js";
import { figureLine } from "./figures.js";
import { kindOf, title } from "./rules.js";
import { moment, named, number, word } from "./words.js";

const ALONE = 2; // so many stand by themselves: a fold would only hide them
const RANK = { critical: 0, major: 1, warning: 2, info: 3 };
const COLOUR = { critical: "bad", major: "bad", warning: "warn", info: "" };

export const isQuiet = (alert) => Boolean(alert.suppressed_by);

/** [[alerts of a group], ...] in the order in which their gravest come; *alerts* are sorted. */
function together(alerts) {
  const groups = new Map();
  for (const alert of alerts) {
    const key = `${alert.site ?? ""}/${kindOf(alert)}`;
    groups.set(key, [...(groups.get(key) ?? []), alert]);
  }
  return [...groups.entries()];
}

function counts(alerts, whole) {
  return Object.keys(RANK).flatMap((severity) => {
    const n = whole ? whole.by_severity[severity] : alerts.filter((alert) => alert.severity === severity).length;
    return n ? [pill(`${number(n)} ${word(severity)}`, COLOUR[severity])] : [];
  });
}

function groupCard(key, alerts, site, card, whole) {
  const worst = alerts.find((alert) => !isQuiet(alert)) ?? alerts[0];
  const quiet = whole?.suppressed ?? alerts.filter(isQuiet).length;
  const since = whole?.since ?? alerts.reduce((first, alert) => (alert.started_at < first ? alert.started_at : first), worst.started_at);
  return h(`article.card.alert.group.${worst.severity}`, {},
    h("div.row", {}, h("strong", {}, named("group", kindOf(worst))), h("span", {}, site?.shown ?? worst.site ?? "stackwatch"),
      site?.simulated ? pill(word("simulated"), "warn") : null,
      h("span.end", {}, word("n_alerts", { n: number(whole?.alerts ?? alerts.length) }))),
    h("div.row", {}, counts(alerts, whole), quiet ? pill(word("n_quiet", { n: number(quiet) })) : null),
    h("p.figure", {}, `${title(worst.rule)} `, figureLine(worst), h("span.soft", {}, ` · ${worst.stack ?? ""}`)),
    h("p.soft", {}, `${word("since")} ${moment(since, site?.timezone)}`),
    folded(`group-${key}`, word("show_alerts"), h("div.list", {}, alerts.map(card))));
}

/** Cards of *alerts*: one each, or one for several of a site and kind; *wholes* counts groups too large to be known here. */
export function grouped(alerts, siteOf, card, wholes) {
  return together(alerts).flatMap(([key, members]) =>
    members.length > ALONE ? [groupCard(key, members, siteOf(members[0].site), card, wholes.get(key))] : members.map(card));
}
