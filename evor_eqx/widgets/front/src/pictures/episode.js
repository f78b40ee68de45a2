/** Four pictures of a recorded episode, one decision at a time: the simulator's view, the path, what was expected, values. */

import { html, resize, set, svg } from "../dom.js";
import { Plot } from "../plot.js";
import { STAR, wallPath } from "./around.js";
import { steps } from "./distributions.js";

/**
 * @typedef {Object} Episode a recorded episode, with its arrays
 * @property {string} name A or B
 * @property {string} settings
 * @property {string} outcome
 * @property {number} count of decisions
 * @property {number[]} step of each decision
 * @property {string[] | null} frames pictures, as addresses with the data in them
 * @property {{caption: string, labels: [string, string], extent: number[], isMap: boolean, walls: boolean[][] | null, unit?: number, offset?: number}} map
 * @property {number[][]} goals places
 * @property {Float32Array} path places of all steps
 * @property {Float32Array} ends where each candidate of each decision leads, [decisions, num, 2]
 * @property {number} num of candidates
 * @property {number[]} index the candidate that was picked
 * @property {Float32Array} probability of the one that was picked
 * @property {Float32Array} best the largest Q* of a decision's candidates
 * @property {number} numAtoms
 * @property {Float32Array} atoms of the one that was picked
 * @property {Float32Array} weights of these atoms
 * @property {Float32Array} value Q* of the one that was picked
 * @property {Float32Array} mean
 * @property {Float32Array} low the least return that may have followed each decision
 * @property {Float32Array} high the largest
 */

/** The simulator's view. */
export class FramePicture {
  /** @param {Episode} episode */
  constructor(episode) {
    this.frames = episode.frames ?? [];
    this.image = html("img", { class: "evor-frame-image" });
    this.image.alt = `The simulator's view of ${episode.name}`;
    this.element = html("figure", { class: "evor-plot evor-film" }, html("figcaption", {}, "The simulator's view"), this.image);
  }

  /** @param {number} decision */
  show(decision) {
    this.image.src = this.frames[decision];
  }
}

/** The path on a map, and where this decision's candidates lead. */
export class PathPicture {
  /** @param {Episode} episode */
  constructor(episode) {
    const { map, path } = episode, [left, bottom, right, top] = map.extent;
    this.episode = episode;
    this.points = Array.from({ length: path.length / 2 }, (_, i) => /** @type {[number, number]} */ ([path[2 * i], path[2 * i + 1]]));
    this.plot = new Plot("path", map.caption, { name: map.labels[0], domain: [left, right] }, { name: map.labels[1], domain: [bottom, top] }, map.isMap);
    this.element = this.plot.element;
    this.walls = svg("path", { class: "evor-walls" });
    this.goals = svg("g");
    this.whole = svg("path", { class: "evor-way-whole" });
    this.ways = svg("path", { class: "evor-ways" });
    this.soFar = svg("path", { class: "evor-track" });
    this.choice = svg("path", { class: "evor-choice" });
    this.here = svg("circle", { class: "evor-here", r: 5 });
    this.plot.area.append(this.walls, this.goals, this.whole, this.ways, this.soFar, this.choice, this.here);
    this.plot.onSize = () => {
      const { x, y } = this.plot;
      set(this.walls, { d: wallPath(map, this.plot) });
      resize(this.goals, episode.goals.length, () => svg("path", { class: "evor-thing evor-goal", d: STAR })).forEach((star, i) =>
        set(star, { transform: `translate(${x(episode.goals[i][0])} ${y(episode.goals[i][1])})` }),
      );
      set(this.whole, { d: this.plot.line(this.points) });
      this.show(this.decision ?? 0);
    };
  }

  /** @param {number} decision */
  show(decision) {
    this.decision = decision;
    if (!this.plot.box) return;
    const { num, ends, index, step } = this.episode, here = this.points[step[decision]];
    const end = (/** @type {number} */ i) => /** @type {[number, number]} */ ([here[0] + ends[2 * (decision * num + i)], here[1] + ends[2 * (decision * num + i) + 1]]);
    set(this.ways, { d: Array.from({ length: num }, (_, i) => this.plot.line([here, end(i)])).join("") });
    set(this.choice, { d: this.plot.line([here, end(index[decision])]) });
    set(this.soFar, { d: this.plot.line(this.points.slice(0, step[decision] + 1)) });
    set(this.here, { cx: this.plot.x(here[0]), cy: this.plot.y(here[1]) });
  }
}

/** The return distribution of the candidate that was picked, its Q*, and the return that followed. */
export class ExpectedPicture {
  /** @param {Episode} episode */
  constructor(episode) {
    this.episode = episode;
    const y = { name: "probability of at most this", domain: /** @type {[number, number]} */ ([-0.02, 1.02]) };
    this.plot = new Plot("expected", "What the critic expected of the choice", { name: "reward-to-go (return)", domain: domain(episode.atoms, episode.low, episode.high) }, y);
    this.element = this.plot.element;
    this.truth = svg("path", { class: "evor-followed" });
    this.line = svg("path", { class: "evor-line evor-best" });
    this.soft = svg("path", { class: "evor-line evor-worst", "stroke-dasharray": "2 2" });
    this.plot.area.append(this.truth, this.line, this.soft);
    this.plot.onSize = () => this.show(this.decision ?? 0);
  }

  /** @param {number} decision */
  show(decision) {
    this.decision = decision;
    if (!this.plot.box) return;
    const { numAtoms, atoms, weights, value, low, high } = this.episode, [left, right] = this.plot.axes.x.domain;
    const pairs = Array.from({ length: numAtoms }, (_, i) => /** @type {[number, number]} */ ([atoms[decision * numAtoms + i], weights[decision * numAtoms + i]]));
    set(this.line, { d: this.plot.line(steps(pairs, left, right)) });
    const upright = (/** @type {number} */ z) => /** @type {[number, number][]} */ ([[z, 0], [z, 1]]);
    set(this.soft, { d: this.plot.line(upright(value[decision])) });
    const corners = [...upright(low[decision]), ...upright(high[decision]).reverse()];
    set(this.truth, { d: `${this.plot.line(corners)}Z` });
  }
}

/** Q* and mean of what was picked, and the return that followed, along the episode. A click goes to a decision. */
export class CoursePicture {
  /** @param {Episode} episode */
  constructor(episode) {
    this.episode = episode;
    const { step, value, mean, low, high, path } = episode;
    this.plot = new Plot("course", "Values along the episode", { name: "environment step", domain: [0, path.length / 2 - 1] }, { name: "return", domain: domain(value, mean, low, high) });
    this.element = this.plot.element;
    this.truth = svg("path", { class: "evor-followed" });
    this.value = svg("path", { class: "evor-line evor-worst", "stroke-dasharray": "2 2" });
    this.mean = svg("path", { class: "evor-line evor-best" });
    this.now = svg("line", { class: "evor-now" });
    this.plot.area.append(this.truth, this.mean, this.value, this.now);
    /** @type {(decision: number) => void} */
    this.onDecision = () => {};
    this.plot.svg.addEventListener("click", (event) => {
      const at = this.plot.x.invert(this.plot.pixel(event)[0]);
      this.onDecision(step.reduce((best, each, i) => (Math.abs(each - at) < Math.abs(step[best] - at) ? i : best), 0));
    });
    this.plot.onSize = () => {
      const along = (/** @type {Float32Array} */ heights) => step.map((each, i) => /** @type {[number, number]} */ ([each, heights[i]]));
      set(this.truth, { d: `${this.plot.line([...along(low), ...along(high).reverse()])}Z` });
      set(this.mean, { d: this.plot.line(along(mean)) });
      set(this.value, { d: this.plot.line(along(value)) });
      this.show(this.decision ?? 0);
    };
  }

  /** @param {number} decision */
  show(decision) {
    this.decision = decision;
    if (!this.plot.box) return;
    const now = this.plot.x(this.episode.step[decision]);
    set(this.now, { x1: now, x2: now, y1: this.plot.box.top, y2: this.plot.box.bottom });
  }
}

/** Limits around all numbers. @param {...Float32Array} arrays @returns {[number, number]} */
function domain(...arrays) {
  let low = Infinity, high = -Infinity;
  for (const array of arrays) for (const z of array) [low, high] = [Math.min(low, z), Math.max(high, z)];
  const margin = 0.04 * Math.max(high - low, 1);
  return [low - margin, high + margin];
}
