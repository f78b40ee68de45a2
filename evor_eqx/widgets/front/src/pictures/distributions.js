/** The return distributions of the candidates that matter, beside what was recorded nearby and what fresh rollouts gave. */

import { set, svg } from "../dom.js";
import { lines, NAMES } from "../marks.js";
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
    this.recorded = svg("path", { class: "evor-recorded" });
    this.fresh = svg("path", { class: "evor-fresh" });
    this.plot.area.append(this.recorded, this.fresh);
    this.lines = lines(this.plot.area);
    this.plot.onSize = () => {
      this.still();
      this.moving();
    };
  }

  /** Show another state: limits that hold for all settings, and what is known of the truth. @param {any} view */
  see(view) {
    this.view = view;
    const { low, high } = extent(view), margin = 0.04 * Math.max(high - low, 1);
    this.plot.change({ x: { domain: [low - margin, high + margin] } });
  }

  /** @param {any} shown */
  read(shown) {
    this.shown = shown;
    this.moving();
  }

  still() {
    if (!this.view || !this.plot.box) return;
    set(this.recorded, { d: this.band(this.view.recorded) });
    set(this.fresh, { d: this.band(this.view.fresh) });
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
   * The area between the distribution functions of the lowest and the highest that returns can be. Where all returns
   * are complete, it is a line.
   * @param {{low: Float32Array, high: Float32Array}} returns
   */
  band({ low, high }) {
    if (!low.length) return "";
    const [left, right] = this.plot.axes.x.domain;
    const corners = [low, high].map((each) => steps(Array.from(each, (z) => [z, 1 / each.length]), left, right));
    return `${this.plot.line(corners[0])}${this.plot.line(corners[1].reverse()).replace("M", "L")}Z`;
  }
}

/**
 * The corners of a distribution function.
 * @param {[number, number][]} atoms returns and weights
 * @param {number} left
 * @param {number} right
 * @returns {[number, number][]}
 */
function steps(atoms, left, right) {
  let sum = 0;
  /** @type {[number, number][]} */
  const corners = [[left, 0]];
  for (const [atom, weight] of atoms.sort((a, b) => a[0] - b[0])) {
    corners.push([atom, sum], [atom, (sum += weight)]);
  }
  return [...corners, [right, sum]];
}

/** The lowest and the highest return of a state, of all numbers of atoms. @param {any} view */
export function extent(view) {
  let low = Infinity, high = -Infinity;
  const all = [...view.counts.map((/** @type {any} */ count) => count.atoms), view.recorded.low, view.recorded.high];
  for (const array of [...all, view.fresh.low, view.fresh.high])
    for (const z of array) [low, high] = [Math.min(low, z), Math.max(high, z)];
  return { low, high };
}
