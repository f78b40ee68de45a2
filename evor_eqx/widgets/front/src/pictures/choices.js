/** Which candidate is picked at each pair of temperatures: where the colour changes, the choice does. */

import { nearest, TAU_Q, TAU_R } from "../controls.js";
import { resize, set, svg } from "../dom.js";
import { Plot } from "../plot.js";
import { choices, TAUS_Q, TAUS_R } from "../reading.js";
import { place, tauAt, TAU_R_AXIS } from "./values.js";

const TINTS = 6; // which no role has; later ones come again
const LEGIBLE = 24; // cells of an area, of 1248, that has its rank written in it
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
    /** @type {{candidate: number, runs: [number, number, number][]}[]} large enough for a number */
    this.areas = [];
    this.cells = svg("g", { class: "evor-cells" });
    this.ranks = svg("g", { class: "evor-numbers" });
    this.now = svg("path", { class: "evor-cross", d: "M-9 0H-3M3 0H9M0-9V-3M0 3V9" });
    this.note = svg("text", { class: "evor-note", "text-anchor": "end" });
    this.plot.area.append(this.cells, this.ranks, this.now, this.note);
    this.plot.onSize = () => {
      this.key = null;
      this.read(this.shown);
    };
    /** @type {(tauR: number, tauQ: number) => void} */
    this.onTaus = () => {};
    this.plot.svg.addEventListener("click", (event) => {
      const at = this.plot.at(event);
      if (!at) return;
      const tauQ = at[1] < 0.00064 ? 0 : at[1] > 160 ? Infinity : nearest(at[1], TAU_Q.slice(1, -1));
      this.onTaus(nearest(tauAt(at[0]), TAU_R), tauQ);
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
    this.ranks.childNodes.forEach((text, i) => (text.textContent = String(reading.rank(this.areas[i].candidate))));
    set(this.note, { x: this.plot.box.right - 6, y: this.plot.box.top + 14 }).textContent = isSoftmax ? "" : "only for EVOR's own rule";
    const at = [this.plot.x(place(reading.settings.tau_r)), this.plot.y(placeQ(reading.settings.tau_q))];
    set(this.now, { transform: `translate(${at[0].toFixed(1)} ${at[1].toFixed(1)})` });
  }

  /** @param {number[][]} picks [tau_Q][tau_R] */
  drawCells(picks) {
    const across = edges(TAUS_R.map((tau) => this.plot.x(place(tau)))), up = edges(TAUS_Q.map((tau) => this.plot.y(placeQ(tau))));
    /** @type {Map<number, {candidate: number, path: string, count: number, runs: [number, number, number][]}>} */
    const areas = new Map();
    picks.forEach((row, q) => {
      for (let start = 0; start < row.length; ) {
        let end = start;
        while (end < row.length && row[end] === row[start]) end++;
        const area = areas.get(row[start]) ?? { candidate: row[start], path: "", count: 0, runs: [] };
        area.path += `M${across[start]} ${up[q]}H${across[end]}V${up[q + 1]}H${across[start]}Z`;
        area.count += end - start;
        area.runs.push([start, end, q]);
        areas.set(row[start], area);
        start = end;
      }
    });
    const largest = [...areas.values()].sort((a, b) => b.count - a.count);
    resize(this.cells, largest.length, () => svg("path")).forEach((path, i) =>
      set(path, { d: largest[i].path, class: `evor-tint-${i % TINTS}`, "data-candidate": largest[i].candidate }),
    );
    this.areas = largest.filter(({ count }) => count >= LEGIBLE);
    resize(this.ranks, this.areas.length, () => svg("text", { "text-anchor": "middle" })).forEach((text, i) => {
      const [start, end, q] = middle(this.areas[i].runs);
      set(text, { x: (Number(across[start]) + Number(across[end])) / 2, y: (Number(up[q]) + Number(up[q + 1])) / 2 + 4 });
    });
    this.plot.describe(`${largest.length} different candidates are picked over both temperatures`);
  }
}

/** Of an area's rows, from column to column, the middle one of the widest. @param {[number, number, number][]} runs */
function middle(runs) {
  const most = Math.max(...runs.map(([start, end]) => end - start)), widest = runs.filter(([start, end]) => end - start === most);
  return widest[Math.floor(widest.length / 2)];
}

/** The borders of cells around places. @param {number[]} places */
function edges(places) {
  const between = places.slice(1).map((place, i) => (place + places[i]) / 2);
  return [places[0] - (between[0] - places[0]), ...between, places.at(-1) + (places.at(-1) - between.at(-1))].map((edge) => edge.toFixed(1));
}
