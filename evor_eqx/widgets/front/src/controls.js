/** Controls of the page with a label, a readout and a tooltip. Each one writes into a trait of the model and follows it. */

import { html, newId, set } from "./dom.js";
import { number, plain, save } from "./model.js";

const DIGITS = ["1", "1.2", "1.4", "1.6", "1.8", "2", "2.5", "3", "3.5", "4", "5", "6", "7", "8", "9"];

/** 0, round numbers from 10^low to 10^high, and infinity. @param {number} low @param {number} high */
function temperatures(low, high) {
  const powers = Array.from({ length: high - low }, (_, i) => low + i);
  return [0, ...powers.flatMap((power) => DIGITS.map((digits) => Number(`${digits}e${power}`))), 10 ** high, Infinity];
}

export const TAU_R = temperatures(-2, 3);
export const TAU_Q = temperatures(-3, 2);

/** @param {number} value */
export const readout = (value) => (value === Infinity ? "∞" : String(Number(value.toPrecision(3))));

/** The nearest of the positive options; 0 and infinity stay. @param {number} value @param {number[]} options */
export function nearest(value, options) {
  const away = (/** @type {number} */ option) => (option === value ? 0 : Math.abs(Math.log(option / value)));
  return options.reduce((best, option) => (away(option) < away(best) ? option : best));
}

/**
 * A slider over increasing numbers. A value that is none of them becomes one, so it stays what it was set to.
 * @param {import("./model.js").Model} model
 * @param {string} trait
 * @param {string} label
 * @param {string} tooltip
 * @param {number[]} options
 */
export function scale(model, trait, label, tooltip, options) {
  const id = newId("control");
  const output = html("output", { for: id });
  const input = html("input", { id, type: "range", min: 0, step: 1, title: tooltip });
  /** @type {number[]} */
  let stops = [];
  const follow = () => {
    const value = number(model.get(trait));
    stops = options.includes(value) ? options : [...options, value].sort((a, b) => a - b);
    set(input, { max: stops.length - 1 });
    input.value = String(stops.indexOf(value));
    output.textContent = readout(value);
    set(input, { "aria-valuetext": readout(value) });
  };
  input.addEventListener("input", () => {
    model.set(trait, plain(stops[Number(input.value)]));
    save(model);
  });
  return control(trait, [html("label", { for: id, title: tooltip }, label), output, input], model, follow, [trait]);
}

/**
 * A choice from a list that another trait holds.
 * @param {import("./model.js").Model} model
 * @param {string} trait
 * @param {string} label
 * @param {string} tooltip
 * @param {() => {value: any, label: string, group?: string}[]} options
 * @param {string} from the trait with which the options change
 */
export function choice(model, trait, label, tooltip, options, from) {
  const id = newId("control");
  const input = html("select", { id, title: tooltip });
  /** @type {any[]} */
  let values = [];
  const follow = () => {
    const offered = options();
    const key = JSON.stringify(offered);
    if (input.dataset.key !== key) {
      input.dataset.key = key;
      values = offered.map((option) => option.value);
      input.replaceChildren(...grouped(offered));
    }
    input.value = String(values.indexOf(model.get(trait)));
    element.hidden = offered.length < 2;
  };
  input.addEventListener("change", () => {
    model.set(trait, values[Number(input.value)]);
    save(model);
  });
  const element = control(trait, [html("label", { for: id }, label), input], model, follow, [trait, from]);
  return element;
}

/**
 * A number: a slider, or a field to type into.
 * @param {import("./model.js").Model} model
 * @param {string} trait
 * @param {string} label
 * @param {string} tooltip
 * @param {() => {min: number, max: number, step?: number} | null} range null hides it
 * @param {string[]} from traits with which the range changes
 * @param {{type?: string, get?: (value: any) => number, put?: (value: number, old: any) => any, name?: string}} [how]
 */
export function integer(model, trait, label, tooltip, range, from, how = {}) {
  const { type = "range", get = Number, put = (value) => value, name = trait } = how;
  const id = newId("control");
  const output = html("output", { for: id });
  const input = html("input", { id, type, title: tooltip });
  const follow = () => {
    const limits = range();
    element.hidden = limits === null;
    if (limits) set(input, { min: limits.min, max: limits.max, step: limits.step ?? 1 });
    const value = get(model.get(trait));
    if (document.activeElement !== input || type === "range") input.value = String(value);
    output.textContent = type === "range" ? String(value) : "";
  };
  input.addEventListener(type === "range" ? "input" : "change", () => {
    const { step } = input, value = step === "1" ? Math.round(Number(input.value)) : Number(input.value);
    model.set(trait, put(value, model.get(trait)));
    follow();
    save(model);
  });
  const element = control(name, [html("label", { for: id }, label), output, input], model, follow, [trait, ...from]);
  return element;
}

/** @param {string} name ends its class @param {Node[]} parts @param {any} model @param {() => void} follow @param {string[]} traits */
function control(name, parts, model, follow, traits) {
  const element = html("div", { class: `evor-control evor-${name.replaceAll("_", "-")}` }, ...parts);
  for (const trait of traits) model.on(`change:${trait}`, follow);
  queueMicrotask(follow);
  element.close = () => traits.forEach((trait) => model.off(`change:${trait}`, follow));
  return element;
}

/** @param {{label: string, group?: string}[]} options */
function grouped(options) {
  const made = options.map((option, i) => html("option", { value: i }, option.label));
  if (!options.some((option) => option.group)) return made;
  const groups = [...new Set(options.map((option) => option.group ?? ""))];
  return groups.map((group) =>
    html("optgroup", { label: group }, ...made.filter((_, i) => (options[i].group ?? "") === group)),
  );
}
