// The edges of a site as its status says them: there or not, what waits, what was lost, and each thing that feeds them.
import { folded, h, pill } from "./elements.js";
import { named, number, span, time, word } from "./words.js";

const FIGURES = ["connected", "last_confirmed", "waiting", "confirmed", "refused"]; // come first, in this order
const LOSSES = ["refused", "set_aside", "dropped"]; // figures that should be zero or empty
const SHOWN = 6; // sources of an edge; of more, those that work are folded away
const MOMENT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;

const times = (counts) => Object.entries(counts).map(([kind, n]) => `${kind.replaceAll("_", " ")} ×${number(n)}`).join(", ");

const placeOf = (key) => (FIGURES.includes(key) ? FIGURES.indexOf(key) : FIGURES.length);

const isNothing = (value) => value === null || value === 0 || value === "" || (typeof value === "object" && !Object.keys(value).length);

function figureText(value, zone) {
  if (isNothing(value) && value !== 0) return "–";
  if (typeof value === "boolean") return word(value ? "yes" : "no");
  if (typeof value === "number") return number(value);
  if (typeof value === "object") return times(value);
  return MOMENT.test(value) ? time(value, zone) : value;
}

/** A figure that a source gave: a flag, a number, a time, counts by kind, or words. A loss of nothing is not drawn. */
function figure(name, value, zone) {
  const isLoss = LOSSES.includes(name);
  if (isLoss && isNothing(value)) return null;
  const text = `${named("figure", name)}: ${figureText(value, zone)}`;
  return isLoss || (name === "connected" && value === false) ? pill(text, "warn") : h("span.soft", {}, text);
}

function sourceView(name, source, zone) {
  const figures = Object.entries(source.figures).sort(([a], [b]) => placeOf(a) - placeOf(b));
  return h("li", {},
    h("div.row", {}, pill(word(source.ok ? "works" : "fails"), source.ok ? "good" : "bad"), h("strong", {}, name),
      h("span.soft", {}, named("kind", source.kind)),
      source.restarts ? h("span.end.soft", {}, word("restarts", { n: number(source.restarts) })) : null),
    source.detail ? h("p.soft", {}, source.detail) : null,
    figures.length ? h("p.row", {}, figures.map(([key, value]) => figure(key, value, zone))) : null,
    Object.keys(source.tolerated).length ? h("p.soft", {}, `${word("tolerated")}: ${times(source.tolerated)}`) : null);
}

function sourcesView(site, edge) {
  const all = Object.entries(edge.sources).sort(([a, x], [b, y]) => x.ok - y.ok || (a < b ? -1 : 1));
  const view = ([name, source]) => sourceView(name, source, site.timezone);
  if (!all.length) return h("p.soft", {}, word("no_sources"));
  if (all.length <= SHOWN) return h("ul.sources", {}, all.map(view));
  const [bad, good] = [all.filter(([, source]) => !source.ok), all.filter(([, source]) => source.ok)];
  return [
    bad.length ? h("ul.sources", {}, bad.map(view)) : null,
    good.length ? folded(`sources-${site.code}-${edge.edge}`, word("n_work", { n: number(good.length) }), h("ul.sources", {}, good.map(view))) : null,
  ];
}

/** What waits on the edge's disk, as it said last. */
function waiting(edge, now) {
  if (edge.outbox === null) return null;
  if (edge.outbox === 0) return h("p.soft", {}, word("nothing_waits"));
  const age = edge.oldest === null ? null : (Date.parse(now ?? edge.received_at) - edge.oldest) / 1000;
  return h("p.soft", {}, word("frames_wait", { n: number(edge.outbox) }), age === null ? "" : `, ${word("oldest", { age: span(age) })}`);
}

function edgeView(site, edge, now) {
  const faults = [
    edge.dropped ? word("n_dropped", { n: number(edge.dropped) }) : null,
    edge.agent_file?.ok === false ? `${word("agent_file_refused")}: ${edge.agent_file.detail}` : null,
    edge.hook?.ok === false ? `${word("hook_failed")}: ${edge.hook.detail}` : null,
  ].filter(Boolean);
  return h("div.edge", {},
    h("div.row", {}, pill(word(edge.online ? "edge_online" : "edge_offline"), edge.online ? "good" : "bad"), h("strong", {}, edge.edge),
      h("span.soft", {}, `${word("since")} ${time(edge.since, site.timezone)}`),
      h("span.end.soft", {}, `${word("version")} ${edge.version || "–"}`)),
    waiting(edge, now),
    faults.map((fault) => h("p.fault", {}, fault)),
    edge.online ? sourcesView(site, edge) : null); // what fed an edge that is away is not known to be so now
}

/** What needs eyes, in one word for the head of the site. */
export function edgesPill(edges) {
  const away = (edges ?? []).filter((edge) => !edge.online);
  const failing = (edges ?? []).filter((edge) => edge.online).flatMap((edge) => Object.values(edge.sources)).filter((source) => !source.ok);
  if (away.length) return pill(word("edges_offline", { n: away.length, all: edges.length }), "bad");
  return failing.length ? pill(word("sources_fail", { n: failing.length }), "warn") : null;
}

/** Those that are away first; nothing for a site of which no edge was ever heard. */
export function edgesView(site, edges, now) {
  if (!edges?.length) return null;
  const sorted = [...edges].sort((a, b) => a.online - b.online || (a.edge < b.edge ? -1 : 1));
  return h("section.edges", { "aria-label": `${word("edges")} ${site.code}` }, h("h4", {}, word("edges")),
    sorted.map((edge) => edgeView(site, edge, now)));
}
