/** Q* of all candidates against tau_R, between its limits: the largest atom and the mean. */

import { nearest, TAU_R } from "../controls.js";
import { set, svg } from "../dom.js";
import { lines, NAMES } from "../marks.js";
import { Plot } from "../plot.js";
import { TAUS_R } from "../reading.js";
import { extent } from "./distributions.js";

const [FIRST, LAST] = [0.004, 2500]; // where tau_R = 0 and infinity are drawn
/** Where a value temperature is drawn. @param {number} tau */
export const place = (tau) => Math.min(Math.max(tau, FIRST), LAST);
/** The temperature of a place: the ends are 0 and infinity. @param {number} at */
export const tauAt = (at) => (at < 0.0064 ? 0 : at > 1600 ? Infinity : Math.min(Math.max(at, 0.01), 1000));
/** @type {import("../plot.js").Axis} */
export const TAU_R_AXIS = {
  name: "value temperature τ_R (return)",
  domain: [FIRST, LAST],
  isLog: true,
  ticks: [[FIRST, "max"], [0.1, "0.1"], [1, "1"], [10, "10"], [100, "100"], [LAST, "mean"]],
};

export class ValuesPicture {
  constructor() {
    this.plot = new Plot("values", "Q* from the maximum to the mean", { ...TAU_R_AXIS }, { name: "Q* (return)", domain: [0, 1] });
    this.element = this.plot.element;
    this.curves = svg("path", { class: "evor-curves" });
    this.plot.area.append(this.curves);
    this.lines = lines(this.plot.area);
    this.now = svg("line", { class: "evor-now" });
    this.plot.area.append(this.now);
    this.plot.onSize = () => this.read(this.shown);
    /** @type {string[]} */
    this.paths = [];
    /** @type {(tauR: number) => void} */
    this.onTau = () => {};
    this.plot.svg.addEventListener("click", (event) => {
      const at = this.plot.at(event);
      if (at) this.onTau(nearest(tauAt(at[0]), TAU_R));
    });
  }

  /** @param {any} view */
  see(view) {
    const { low, high } = extent(view, []), margin = 0.04 * Math.max(high - low, 1);
    this.plot.change({ y: { domain: [low - margin, high + margin] } });
  }

  /** @param {any} shown */
  read(shown) {
    this.shown = shown;
    if (!shown || !this.plot.box) return;
    const { reading, roles, candidates } = shown, { x } = this.plot;
    const drawn = [candidates, this.plot.box, this.plot.axes];
    if (!drawn.every((part, i) => part === this.drawn?.[i])) this.paths = [];
    this.drawn = drawn;
    // A path is made once: other settings only choose among them.
    const curve = (/** @type {number} */ i) =>
      (this.paths[i] ??= this.plot.line(TAUS_R.map((tau, k) => [place(tau), candidates.curves[k][i]])));
    set(this.curves, { d: Array.from({ length: reading.n }, (_, i) => curve(i)).join("") });
    for (const role of NAMES) set(this.lines[role], { d: roles[role] === undefined ? "" : curve(roles[role]) });
    const now = x(place(reading.settings.tau_r));
    set(this.now, { x1: now, x2: now, y1: this.plot.box.top, y2: this.plot.box.bottom });
  }
}
