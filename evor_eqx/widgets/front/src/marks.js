/** How the best, median and worst candidate, the data's action and the compared ones are drawn, in all pictures. */

import { set, svg } from "./dom.js";

/** Colours are CSS classes, `evor-<role>`; the dash is of lines, the symbol of points. */
export const ROLES = {
  best: { label: "best", dash: null, symbol: "M0-7 6 5-6 5Z" },
  median: { label: "median", dash: "6 2", symbol: "M-5-5H5V5H-5Z" },
  worst: { label: "worst", dash: "6 2 1 2", symbol: "M0 7-6-5 6-5Z" },
  data: { label: "data's action", dash: "2 2", symbol: "M0-7 6 0 0 7-6 0Z" },
  a: { label: "A", dash: null, symbol: "M-7-2H-2V-7H2V-2H7V2H2V7H-2V2H-7Z" },
  b: { label: "B", dash: "9 3", symbol: "M-6-4-4-6 0-2 4-6 6-4 2 0 6 4 4 6 0 2-4 6-6 4-2 0Z" },
  focus: { label: "pointed at", dash: null, symbol: "M-7 0A7 7 0 1 1 7 0A7 7 0 1 1-7 0Z" },
};

/** @typedef {keyof typeof ROLES} Role */
export const NAMES = /** @type {Role[]} */ (Object.keys(ROLES));

/** A mark for each role, not yet placed. @param {Element} parent @returns {Record<Role, SVGElement>} */
export function marks(parent) {
  return perRole(parent, (role) => svg("path", { class: `evor-mark evor-${role}`, d: ROLES[role].symbol, display: "none" }));
}

/** A line for each role, without points. @param {Element} parent @returns {Record<Role, SVGElement>} */
export function lines(parent) {
  return perRole(parent, (role) => svg("path", { class: `evor-line evor-${role}`, "stroke-dasharray": ROLES[role].dash }));
}

/** A mark in a line of text. @param {string} symbol */
export const sign = (symbol) => svg("svg", { class: "evor-sign", viewBox: "-8 -8 16 16", "aria-hidden": "true" }, svg("path", { d: symbol }));

/** Move a mark, or hide it. @param {Element} mark @param {[number, number] | null} place in pixels */
export function move(mark, place) {
  if (place) set(mark, { transform: `translate(${place[0].toFixed(1)} ${place[1].toFixed(1)})`, display: null });
  else set(mark, { display: "none" });
}

/** @param {Element} parent @param {(role: Role) => SVGElement} make */
function perRole(parent, make) {
  const made = NAMES.map((role) => /** @type {[Role, SVGElement]} */ ([role, make(role)]));
  parent.append(...made.map(([, element]) => element));
  return /** @type {Record<Role, SVGElement>} */ (Object.fromEntries(made));
}

const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];

/** matplotlib's viridis in nine steps: low is dark, high is bright. @param {number} share in [0, 1] */
export const viridis = (share) => VIRIDIS[Math.round(8 * Math.min(1, Math.max(0, share)))];
