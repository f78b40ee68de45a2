/** Where candidates lead, seen from above or from the side, with what is around: the maze, the goal, cubes, the track. */

import { resize, set, svg } from "../dom.js";
import { marks, move, NAMES, viridis } from "../marks.js";
import { Plot } from "../plot.js";
import { isWall, STAR, wallPath } from "./around.js";

const NEAR = 14; // pixels within which a candidate is pointed at

/**
 * @typedef {Object} Map what one map shows
 * @property {string} name
 * @property {string} caption
 * @property {number} plane which of the state's planes
 * @property {[string, string]} labels
 * @property {[number, number, number, number] | null} extent left, bottom, right, top; null: around the candidates
 * @property {boolean} isMap whether both axes have one unit
 */

/** A map. It tells `onPlace`, `onCandidate` and `onPoint` what the pointer does. */
export class MapPicture {
  /** @param {Map} map @param {any} scene */
  constructor(map, scene) {
    this.map = map;
    this.scene = scene;
    const [left, bottom, right, top] = map.extent ?? [0, 0, 1, 1];
    const axes = [
      { name: map.labels[0], domain: /** @type {[number, number]} */ ([left, right]) },
      { name: map.labels[1], domain: /** @type {[number, number]} */ ([bottom, top]) },
    ];
    this.plot = new Plot(map.name, map.caption, axes[0], axes[1], map.isMap);
    this.element = this.plot.element;
    const { area } = this.plot;
    this.walls = svg("path", { class: "evor-walls" });
    this.states = svg("g", { class: "evor-states" });
    this.things = svg("g");
    this.track = svg("path", { class: "evor-track" });
    this.ways = svg("path", { class: "evor-ways" });
    this.dots = svg("g", { class: "evor-dots" });
    area.append(this.walls, this.states, this.things, this.track, this.ways, this.dots);
    this.marks = marks(area);
    this.picked = svg("circle", { class: "evor-picked", r: 10 });
    this.here = svg("circle", { class: "evor-here", r: 4 });
    this.heading = svg("path", { class: "evor-heading" });
    area.append(this.picked, this.heading, this.here);
    this.plot.onSize = () => this.draw();
    /** @type {(x: number, y: number) => void} */
    this.onPlace = () => {};
    /** @type {(candidate: number | null, isClick: boolean) => void} */
    this.onCandidate = () => {};
    const { svg: page } = this.plot;
    page.addEventListener("pointermove", (event) => this.onCandidate(this.at(event), false));
    page.addEventListener("pointerleave", () => this.onCandidate(null, false));
    page.addEventListener("click", (event) => this.click(event));
  }

  /** Show another state. @param {any} view */
  see(view) {
    this.plane = view.planes[this.map.plane];
    if (!this.map.extent) {
      const { origin, ends } = this.plane;
      const [x, y] = [0, 1].map((axis) => [origin[axis], ...ends.filter((_, i) => i % 2 === axis)]).map(limits);
      const reach = 0.58 * Math.max(x.high - x.low, y.high - y.low, 1e-3);
      this.plot.change({ x: { domain: [x.middle - reach, x.middle + reach] }, y: { domain: [y.middle - reach, y.middle + reach] } });
    }
    this.still();
  }

  /** Show what settings make of it. @param {any} shown */
  read(shown) {
    this.shown = shown;
    this.moving();
  }

  draw() {
    this.still();
    this.moving();
  }

  /** What belongs to the state: walls, goal, cubes. */
  still() {
    if (!this.plane || !this.plot.box) return;
    const { x, y } = this.plot;
    set(this.walls, { d: wallPath(this.scene, this.plot) });
    const places = this.map.extent && this.scene.states.places;
    resize(this.states, places ? places.length / 2 : 0, () => svg("circle", { r: 1.2 })).forEach((dot, i) =>
      set(dot, { cx: x(places[2 * i]), cy: y(places[2 * i + 1]) }),
    );
    resize(this.things, this.plane.things.length, () => svg("path")).forEach((path, i) => {
      const { kind, at, size } = this.plane.things[i], half = Math.max(4, Math.abs(x(size / 2) - x(0)));
      const d = kind === "goal" ? STAR : `M${-half} ${-half}H${half}V${half}H${-half}Z`;
      set(path, { class: `evor-thing evor-${kind}`, d, transform: `translate(${x(at[0])} ${y(at[1])})` });
    });
    const { origin, velocity } = this.plane;
    move(this.here, [x(origin[0]), y(origin[1])]);
    set(this.heading, { d: velocity ? this.plot.line([origin, [origin[0] + velocity[0], origin[1] + velocity[1]]]) : "" });
  }

  /** What belongs to the settings: candidates, their marks, the track. */
  moving() {
    if (!this.shown || !this.plane || !this.plot.box) return;
    const { reading, roles, track } = this.shown, { x, y } = this.plot, { ends, origin } = this.plane;
    const values = reading.values.slice(0, reading.n), low = Math.min(...values), high = Math.max(...values);
    const place = (/** @type {number} */ i) => /** @type {[number, number]} */ ([x(ends.at(2 * i)), y(ends.at(2 * i + 1))]);
    const small = this.map.extent && this.map.isMap && this.scene.walls ? 0.35 : 1;
    let ways = "";
    resize(this.dots, reading.n, () => svg("circle")).forEach((dot, i) => {
      const [cx, cy] = place(i);
      ways += `M${x(origin[0]).toFixed(1)} ${y(origin[1]).toFixed(1)}L${cx.toFixed(1)} ${cy.toFixed(1)}`;
      const fill = viridis(high > low ? (values[i] - low) / (high - low) : 1);
      set(dot, { cx: cx.toFixed(1), cy: cy.toFixed(1), r: (small * (2.5 + 8 * Math.sqrt(reading.weights[i]))).toFixed(1), fill });
    });
    set(this.ways, { d: ways });
    for (const role of NAMES) {
      const i = roles[role];
      move(this.marks[role], i === undefined || small < 1 ? null : [x(ends[2 * i]), y(ends[2 * i + 1])]);
    }
    move(this.picked, small < 1 ? null : place(reading.picked));
    const points = track?.planes?.[this.map.plane] ?? [];
    const line = Array.from({ length: points.length / 2 }, (_, i) => /** @type {[number, number]} */ ([points[2 * i], points[2 * i + 1]]));
    set(this.track, { d: this.plot.line(line), class: `evor-track${track?.isOld ? " evor-old" : ""}` });
  }

  /** The candidate near the pointer, or null. @param {MouseEvent} event */
  at(event) {
    if (!this.shown || !this.plane) return null;
    const [left, top] = this.plot.pixel(event), { ends } = this.plane, { x, y } = this.plot;
    let nearest = null, least = NEAR;
    for (let i = 0; i < this.shown.reading.n; i++) {
      const away = Math.hypot(x(ends[2 * i]) - left, y(ends[2 * i + 1]) - top);
      if (away < least) [nearest, least] = [i, away];
    }
    return nearest;
  }

  /** @param {MouseEvent} event */
  click(event) {
    const candidate = this.map.extent && this.scene.walls ? null : this.at(event);
    const place = this.plot.at(event);
    if (candidate !== null) this.onCandidate(candidate, true);
    else if (this.map.extent && place && !isWall(this.scene, ...place)) this.onPlace(...place);
  }
}

/** @param {number[]} values */
function limits(values) {
  const low = Math.min(...values), high = Math.max(...values);
  return { low, high, middle: (low + high) / 2 };
}
