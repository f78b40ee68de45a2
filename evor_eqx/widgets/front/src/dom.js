/** Elements of the page, made and changed in one line each. */

const SVG = "http://www.w3.org/2000/svg";
const PAGE = Math.random().toString(36).slice(2); // each widget of a notebook loads this module anew
let elements = 0;

/** An id that no other element has, whatever else the page shows. @param {string} name */
export const newId = (name) => `evor-${name}-${PAGE}-${elements++}`;

/**
 * @param {Element} element
 * @param {Record<string, any>} attributes null removes one
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }
  return element;
}

/**
 * An HTML element.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function html(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * An SVG element.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Bring the number of an element's children to `count`.
 * @param {Element} parent
 * @param {number} count
 * @param {() => Element} make
 */
export function resize(parent, count, make) {
  while (parent.childElementCount < count) parent.append(make());
  while (parent.childElementCount > count) parent.lastElementChild?.remove();
  return /** @type {any[]} */ ([...parent.children]);
}
