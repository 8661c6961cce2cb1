// The numbers of an alert as a person reads them: what was seen against what is allowed, and the evidence by name.
import { gas, h } from "./elements.js";
import { moment, named, number, percent, span, word } from "./words.js";

const SAID = new Set(["words", "lead"]); // shown by themselves
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/;
const UNITS = { h: "hours", "hours above the limit": "hours" };

/** *alert* with the numbers of the hour that gave it its severity, where that is not the one that made it fire. */
export function weighed(alert) {
  const { graver, severity_since: since } = alert.evidence ?? {};
  return graver && since?.at(-1)?.[0] === graver.hour
    ? { ...alert, observed: graver.observed, limit: graver.limit, evidence: graver.evidence } : alert;
}

/** What was seen, and the limit where there is one, in the unit of the rule. */
export function figures(alert) {
  const { unit, observed, limit } = alert;
  if (unit === "rows") return [word("n_rows", { n: number(observed) }), null];
  if (alert.rule === "month_below_share") return [percent(observed), percent(limit)];
  if (unit === "s") return [span(observed), limit === null ? null : span(limit)];
  const known = UNITS[unit];
  const suffix = known ? ` ${word(known)}` : unit ? ` ${unit.replace("m3", "m³")}` : "";
  return [`${number(observed)}${limit === null ? suffix : ""}`, limit === null ? null : `${number(limit)}${suffix}`];
}

/** One line of them: "NOₓ 76.4 limit 50 mg/m³". */
export function figureLine(alert) {
  const [seen, limit] = figures(weighed(alert));
  return [`${gas(alert.pollutant)} ${seen}`.trim(), limit === null ? null : h("span.soft", {}, ` ${word("of_limit")} ${limit}`)];
}

/** Names and values of *object*; what is in an object of it comes behind its name. */
export function pairs(object, zone) {
  return h("dl", {}, Object.entries(object).filter(([key]) => !SAID.has(key)).flatMap(([key, value]) => [
    h("dt", {}, named("ev", key)), h("dd", {}, shown(value, zone))]));
}

function shown(value, zone) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "boolean") return word(value ? "yes" : "no");
  if (Array.isArray(value)) return value.map((one) => shown(one, zone)).join(value.some(Array.isArray) ? "; " : ", ") || "–";
  if (typeof value === "object") return Object.entries(value).filter(([key]) => !SAID.has(key)).map(([key, one]) => `${named("ev", key)} ${shown(one, zone)}`).join(", ") || "–";
  if (typeof value === "string") return TIME.test(value) ? moment(value, zone) : word(value) === value.replaceAll("_", " ") ? value : word(value);
  return String(value);
}
