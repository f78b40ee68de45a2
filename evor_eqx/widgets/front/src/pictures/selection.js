/** The probability of each candidate, best first, beside the base policy's 1 / N_pi. */

import { resize, set, svg } from "../dom.js";
import { marks, move, NAMES } from "../marks.js";
import { Plot } from "../plot.js";

const FLOOR = 1e-4; // smaller probabilities are drawn here
/** @type {Record<string, number>} what keys add to the rank; 0 keeps the candidate to compare */
const STEPS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity, Enter: 0, " ": 0 };

export class SelectionPicture {
  constructor() {
    this.plot = new Plot(
      "selection",
      "Which is picked",
      { name: "rank by Q* (1: best)", domain: [0.8, 170], isLog: true, ticks: [1, 2, 4, 8, 16, 32, 64, 128].map((n) => [n, String(n)]) },
      { name: "probability", domain: [FLOOR / 2, 1.6], isLog: true, ticks: [[1e-4, "≤0.0001"], [1e-3, "0.001"], [0.01, "0.01"], [0.1, "0.1"], [1, "1"]] },
    );
    this.element = this.plot.element;
    this.base = svg("line", { class: "evor-base" });
    this.dots = svg("g", { class: "evor-ranks" });
    this.plot.area.append(this.base, this.dots);
    this.marks = marks(this.plot.area);
    this.picked = svg("circle", { class: "evor-picked", r: 10 });
    this.text = svg("text", { class: "evor-note", "text-anchor": "end" });
    this.plot.area.append(this.picked, this.text);
    this.plot.onSize = () => this.read(this.shown);
    /** @type {(candidate: number | null, isClick: boolean) => void} */
    this.onCandidate = () => {};
    const { svg: page } = this.plot;
    page.addEventListener("pointermove", (event) => this.onCandidate(this.at(event), false));
    page.addEventListener("pointerleave", () => this.onCandidate(null, false));
    page.addEventListener("click", (event) => this.onCandidate(this.at(event), true));
    // By keyboard it is a slider over ranks. JupyterLab leaves the keys of such an element alone.
    this.rank = 0;
    const label = "Point at a candidate by its rank; Enter keeps it to compare";
    set(page, { role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": 1, "data-lm-suppress-shortcuts": "true" });
    page.addEventListener("keydown", (event) => this.press(event));
    page.addEventListener("blur", () => this.onCandidate(null, false));
  }

  see() {}

  /** @param {any} shown */
  read(shown) {
    this.shown = shown;
    if (!shown || !this.plot.box) return;
    const { reading, roles } = shown, { x, y } = this.plot;
    const place = (/** @type {number} */ i) =>
      /** @type {[number, number]} */ ([x(reading.rank(i)), y(Math.max(reading.weights[i], FLOOR))]);
    resize(this.dots, reading.n, () => svg("circle", { r: 3 })).forEach((dot, rank) => {
      const weight = Math.max(reading.weights[reading.order[rank]], FLOOR);
      set(dot, { cx: x(rank + 1).toFixed(1), cy: y(weight).toFixed(1) });
    });
    for (const role of NAMES) {
      const i = roles[role];
      move(this.marks[role], i === undefined || role === "data" ? null : place(i));
    }
    move(this.picked, place(reading.picked));
    const at = reading.order[Math.min(Math.max(this.rank, 1), reading.n) - 1];
    const said = `rank ${reading.rank(at)} of ${reading.n}: probability ${(100 * reading.weights[at]).toFixed(1)}%, Q* ${reading.values[at].toFixed(1)}`;
    set(this.plot.svg, { "aria-valuemax": reading.n, "aria-valuenow": reading.rank(at), "aria-valuetext": said });
    const base = y(1 / reading.n);
    set(this.base, { x1: this.plot.box.left, x2: this.plot.box.right, y1: base, y2: base });
    set(this.text, { x: this.plot.box.right - 6, y: this.plot.box.top + 14 }).textContent =
      `effective number ${reading.effective.toFixed(1)} of ${reading.n}, KL ${Math.abs(reading.divergence).toFixed(2)} nats`;
  }

  /** Point at another candidate, or keep this one. @param {KeyboardEvent} event */
  press(event) {
    if (!this.shown || !(event.key in STEPS)) return;
    event.preventDefault();
    const { order, n } = this.shown.reading;
    this.rank = Math.min(n, Math.max(1, this.rank + STEPS[event.key]));
    this.onCandidate(order[this.rank - 1], STEPS[event.key] === 0);
  }

  /** The candidate whose rank is nearest to the pointer. @param {MouseEvent} event */
  at(event) {
    if (!this.shown) return null;
    const rank = Math.round(this.plot.x.invert(this.plot.pixel(event)[0]));
    return this.shown.reading.order[rank - 1] ?? null;
  }
}
