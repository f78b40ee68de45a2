/** Which candidate is picked at each pair of temperatures: where the colour changes, the choice does. */

import { resize, set, svg } from "../dom.js";
import { Plot } from "../plot.js";
import { choices, TAUS_Q, TAUS_R } from "../reading.js";
import { place, tauAt, TAU_R_AXIS } from "./values.js";

const COLORS = ["#0072B2", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#F0E442"];
const [FIRST, LAST] = [0.0004, 250];
const placeQ = (/** @type {number} */ tau) => Math.min(Math.max(tau, FIRST), LAST);

export class ChoicesPicture {
  constructor() {
    this.plot = new Plot("temperatures", "Who is picked at which temperatures", { ...TAU_R_AXIS }, {
      name: "τ_Q",
      domain: [FIRST / 1.3, LAST * 1.3],
      isLog: true,
      ticks: [[FIRST, "0"], [0.01, "0.01"], [1, "1"], [LAST, "∞"]],
    });
    this.element = this.plot.element;
    this.cells = svg("g", { class: "evor-cells" });
    this.now = svg("path", { class: "evor-cross", d: "M-9 0H-3M3 0H9M0-9V-3M0 3V9" });
    this.plot.area.append(this.cells, this.now);
    this.plot.onSize = () => {
      this.key = null;
      this.read(this.shown);
    };
    /** @type {(tauR: number, tauQ: number) => void} */
    this.onTaus = () => {};
    this.plot.svg.addEventListener("click", (event) => {
      const { left, top } = this.plot.svg.getBoundingClientRect();
      const tauQ = this.plot.y.invert(event.clientY - top);
      const limited = tauQ < 0.00064 ? 0 : tauQ > 160 ? Infinity : Math.min(Math.max(tauQ, 1e-3), 100);
      this.onTaus(tauAt(this.plot.x.invert(event.clientX - left)), limited);
    });
  }

  /** The picture depends on state and counts alone. */
  see() {
    this.key = null;
  }

  /** @param {any} shown */
  read(shown) {
    this.shown = shown;
    if (!shown || !this.plot.box) return;
    const { candidates, reading, view, isSoftmax } = shown;
    const key = [candidates, reading.n];
    if (!key.every((part, i) => part === this.key?.[i])) this.drawCells(isSoftmax ? choices(candidates, reading.n, view.level) : []);
    this.key = key;
    const at = [this.plot.x(place(reading.settings.tau_r)), this.plot.y(placeQ(reading.settings.tau_q))];
    set(this.now, { transform: `translate(${at[0].toFixed(1)} ${at[1].toFixed(1)})` });
  }

  /** @param {number[][]} picks [tau_Q][tau_R] */
  drawCells(picks) {
    const across = edges(TAUS_R.map((tau) => this.plot.x(place(tau)))), up = edges(TAUS_Q.map((tau) => this.plot.y(placeQ(tau))));
    /** @type {Map<number, {path: string, count: number}>} */
    const areas = new Map();
    picks.forEach((row, q) => {
      for (let start = 0; start < row.length; ) {
        let end = start;
        while (end < row.length && row[end] === row[start]) end++;
        const area = areas.get(row[start]) ?? { path: "", count: 0 };
        area.path += `M${across[start]} ${up[q]}H${across[end]}V${up[q + 1]}H${across[start]}Z`;
        area.count += end - start;
        areas.set(row[start], area);
        start = end;
      }
    });
    const largest = [...areas].sort((a, b) => b[1].count - a[1].count);
    resize(this.cells, largest.length, () => svg("path")).forEach((path, i) =>
      set(path, { d: largest[i][1].path, fill: COLORS[i] ?? `hsl(${(i * 47) % 360} 20% 60%)`, "data-candidate": largest[i][0] }),
    );
    this.plot.describe(`${largest.length} different candidates are picked over both temperatures`);
  }
}

/** The borders of cells around places. @param {number[]} places */
function edges(places) {
  const between = places.slice(1).map((place, i) => (place + places[i]) / 2);
  return [places[0] - (between[0] - places[0]), ...between, places.at(-1) + (places.at(-1) - between.at(-1))].map((edge) => edge.toFixed(1));
}
