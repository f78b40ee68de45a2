/** The return distributions of the candidates that matter, beside what was recorded nearby and what fresh rollouts gave. */

import { set, svg } from "../dom.js";
import { lines, move, NAMES, ROLES } from "../marks.js";
import { eachAtom } from "../maths.js";
import { Plot } from "../plot.js";

export class DistributionsPicture {
  constructor() {
    this.plot = new Plot(
      "distributions",
      "Return distributions",
      { name: "reward-to-go (return)", domain: [0, 1] },
      { name: "probability of at most this", domain: [-0.02, 1.02] },
    );
    this.element = this.plot.element;
    const bands = { recorded: band("recorded"), fresh: band("fresh") };
    this.bands = bands;
    this.plot.area.append(bands.recorded, bands.fresh);
    this.lines = lines(this.plot.area);
    const ends = [0, 1].map(() => svg("path", { class: "evor-mark evor-data", d: ROLES.data.symbol, display: "none" }));
    this.own = { bar: svg("path", { class: "evor-line evor-own" }), ends };
    this.plot.svg.append(this.own.bar, ...ends); // not in the area, which would cut them in half
    this.plot.onSize = () => {
      this.still();
      this.moving();
    };
  }

  /** Show another state: limits that hold for all settings, and what is known of the truth. @param {any} view */
  see(view) {
    this.view = view;
    const { low, high } = extent(view, [view.recorded, view.fresh, view.own]), margin = 0.04 * Math.max(high - low, 1);
    this.plot.change({ x: { domain: [low - margin, high + margin] } });
    this.plot.describe(["Return distributions of the candidates", ...truths(view).map(({ words }) => words)].join("; "));
  }

  /** @param {any} shown */
  read(shown) {
    this.shown = shown;
    this.moving();
  }

  still() {
    if (!this.view || !this.plot.box) return;
    for (const name of /** @type {const} */ (["recorded", "fresh"])) {
      const { area, edges } = this.band(this.view[name]), [inside, around] = this.bands[name].children;
      set(inside, { d: area });
      set(around, { d: edges });
    }
    const { low, high } = this.view.own, { x, y } = this.plot;
    const places = [low[0], high[0]].map((z) => /** @type {[number, number] | null} */ (z === undefined ? null : [x(z), y(0)]));
    this.own.ends.forEach((end, i) => move(end, places[i]));
    set(this.own.bar, { d: low.length ? this.plot.line([[low[0], 0], [high[0], 0]]) : "" });
  }

  moving() {
    if (!this.shown || !this.plot.box) return;
    const { roles, candidates } = this.shown, [left, right] = this.plot.axes.x.domain;
    for (const role of NAMES) {
      const i = roles[role];
      /** @type {[number, number][]} */
      const atoms = [];
      if (i !== undefined) eachAtom(candidates.distributions, i, (atom, weight) => atoms.push([atom, weight]));
      set(this.lines[role], { d: i === undefined ? "" : this.plot.line(steps(atoms, left, right)) });
    }
  }

  /**
   * The area between the distribution functions of the least and the most that returns can be, and its edges. Where all
   * returns are complete, both are the same line.
   * @param {{low: Float32Array, high: Float32Array}} returns
   */
  band({ low, high }) {
    if (!low.length) return { area: "", edges: "" };
    const [left, right] = this.plot.axes.x.domain;
    const [least, most] = [low, high].map((each) => steps(Array.from(each, (z) => [z, 1 / each.length]), left, right));
    const edges = this.plot.line(least);
    if (low.every((z, i) => z === high[i])) return { area: "", edges };
    const back = this.plot.line([...most].reverse()).replace("M", "L");
    return { area: `${edges}${back}Z`, edges: `${edges}${this.plot.line(most)}` };
  }
}

/** An area and its edges, without points. @param {string} name */
const band = (name) => svg("g", { class: `evor-${name}` }, svg("path", { class: "evor-band" }), svg("path"));

const SAID = { recorded: "recorded nearby", fresh: "fresh rollouts", own: "recorded from here" };

/**
 * What is known of the truth at a state, in words, with how many of the returns are complete.
 * @param {any} view
 * @returns {{name: string, words: string}[]}
 */
export function truths(view) {
  const known = Object.entries(SAID).filter(([name]) => view[name].low.length);
  return known.map(([name, label]) => {
    const { text } = view[name], isCut = text.includes("cut off");
    return { name, words: `${label}: ${text}${isCut ? " (at least to at most)" : ""}` };
  });
}

/**
 * The corners of a distribution function.
 * @param {[number, number][]} atoms returns and weights
 * @param {number} left
 * @param {number} right
 * @returns {[number, number][]}
 */
export function steps(atoms, left, right) {
  let sum = 0;
  /** @type {[number, number][]} */
  const corners = [[left, 0]];
  for (const [atom, weight] of atoms.sort((a, b) => a[0] - b[0])) {
    corners.push([atom, sum], [atom, (sum += weight)]);
  }
  return [...corners, [right, sum]];
}

/**
 * The lowest and the highest return of a state, of all numbers of atoms.
 * @param {any} view
 * @param {{low: Float32Array, high: Float32Array}[]} known returns that are shown beside them
 */
export function extent(view, known) {
  let low = Infinity, high = -Infinity;
  const atoms = view.counts.map((/** @type {any} */ count) => count.atoms);
  for (const array of [...atoms, ...known.flatMap((returns) => [returns.low, returns.high])])
    for (const z of array) [low, high] = [Math.min(low, z), Math.max(high, z)];
  return { low, high };
}
