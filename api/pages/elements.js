// Elements that every part of the page is made of. Text is only ever set as text, so nothing that a plant wrote is run.

/** An element: tag with classes ("p.soft"), attributes, children. */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const pill = (text, kind = "") => h(`span.pill${kind && "." + kind}`, {}, text);
export const gas = (pollutant) => ({ so2: "SO₂", nox: "NOₓ", pm: "PM" })[pollutant] ?? (pollutant ?? "").toUpperCase();

/** Sections that a person opened stay open when the list is drawn again. */
export const folded = (id, title, ...children) => h("details", { "data-keep": id }, h("summary", {}, title), ...children);
