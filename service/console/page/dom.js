// Elements from plain values. Text is always set as text: no string is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element; attributes that begin with `on` are listeners, null children are left out. */
export const h = (tag, attributes, ...children) => filled(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const s = (tag, attributes, ...children) => filled(document.createElementNS(SVG, tag), attributes, children);

/** The element of an id of the page. */
export const byId = (id) => document.getElementById(id);

/** Sets custom properties of a node, by which the style sheet draws lengths and colours. */
export function drawn(node, properties) {
  for (const [name, value] of Object.entries(properties)) node.style.setProperty(`--${name}`, value);
  return node;
}
