// What the page knows of rules: their titles, their kinds, and which are only leads.
import { current, word } from "./words.js";

const rules = new Map();

export const learn = (items) => items.forEach((rule) => rules.set(rule.name, rule));

export function title(name) {
  const rule = rules.get(name);
  return rule ? (current() === "zh" ? rule.title_zh : rule.title) : word(name);
}

export const about = (name) => rules.get(name);

export const isLead = (name) => rules.get(name)?.lead ?? false;

/** The kind that alerts of one site are grouped by, as `GET /v1/alerts/groups` does. */
export const kindOf = (alert) => rules.get(alert.rule)?.group ?? (alert.site ? "data" : "system");
