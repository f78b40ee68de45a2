/** Recorded episodes, side by side, with a bar to play their decisions. */

import { html, set } from "./dom.js";
import { floats } from "./model.js";
import { CoursePicture, ExpectedPicture, FramePicture, PathPicture } from "./pictures/episode.js";

const PAUSE = 150; // milliseconds between two decisions at the usual speed
const QUIET = 400; // milliseconds after the last change, before the sentences are read out
const ARRAYS = ["path", "ends", "probability", "best", "atoms", "weights", "value", "mean", "low", "high"];

export class Player {
  /** @param {{sides: any[]}} data @param {HTMLElement} el */
  constructor({ sides }, el) {
    this.sides = sides.map((side) => new Side({ ...side, ...Object.fromEntries(ARRAYS.map((name) => [name, floats(side[name])])) }));
    this.last = Math.max(...this.sides.map(({ episode }) => episode.count)) - 1;
    this.slider = html("input", { type: "range", id: "evor-decision", min: 0, max: this.last, step: 1 });
    this.slider.value = "0";
    this.output = html("output", { for: "evor-decision" });
    this.button = html("button", { type: "button", class: "evor-play" }, "Play");
    this.speed = html("select", { id: "evor-speed" }, ...[0.5, 1, 2, 4].map((times) => html("option", { value: times }, `${times} ×`)));
    this.speed.value = "1";
    this.spoken = html("p", { class: "evor-spoken", role: "status", "aria-live": "polite" });
    const bar = html(
      "div",
      { class: "evor-bar" },
      this.button,
      html("label", { for: "evor-decision" }, "decision"),
      this.slider,
      this.output,
      html("label", { for: "evor-speed" }, "speed"),
      this.speed,
    );
    const parts = html("div", { class: "evor-sides" }, ...this.sides.map((side) => side.element));
    el.append(html("section", { class: "evor-player", "aria-label": "roll-out" }, bar, this.spoken, parts));
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.button.addEventListener("click", () => (this.timer ? this.stop() : this.play()));
    for (const side of this.sides) side.course.onDecision = (decision) => this.go(decision);
    this.go(0);
  }

  /** @param {number} decision */
  go(decision) {
    this.decision = decision;
    this.slider.value = String(decision);
    this.output.textContent = `${decision + 1} of ${this.last + 1}`;
    set(this.slider, { "aria-valuetext": this.output.textContent });
    for (const side of this.sides) side.show(Math.min(decision, side.episode.count - 1));
    clearTimeout(this.quiet);
    this.quiet = setTimeout(() => (this.spoken.textContent = this.sides.map((side) => side.text.textContent).join(" ")), QUIET);
  }

  play() {
    this.button.textContent = "Pause";
    if (this.decision === this.last) this.go(0);
    const next = () => {
      if (this.decision === this.last) return this.stop();
      this.go(/** @type {number} */ (this.decision) + 1);
      this.timer = setTimeout(next, PAUSE / Number(this.speed.value));
    };
    this.timer = setTimeout(next, PAUSE / Number(this.speed.value));
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.button.textContent = "Play";
  }
}

/** One episode: its words and pictures. */
class Side {
  /** @param {import("./pictures/episode.js").Episode} episode */
  constructor(episode) {
    this.episode = episode;
    this.course = new CoursePicture(episode);
    this.pictures = [...(episode.frames ? [new FramePicture(episode)] : []), new PathPicture(episode), new ExpectedPicture(episode), this.course];
    this.text = html("p", { class: "evor-sentence" });
    this.element = html(
      "section",
      { class: "evor-side", "aria-label": episode.name },
      html("h2", {}, `${episode.name}: ${episode.settings}`),
      html("p", {}, `${episode.outcome}.`),
      this.text,
      html("div", { class: "evor-episode" }, ...this.pictures.map(({ element }) => element)),
      legend(),
    );
  }

  /** @param {number} decision */
  show(decision) {
    for (const picture of this.pictures) picture.show(decision);
    this.text.textContent = sentence(this.episode, decision);
  }
}

/** What was decided, and what came of it. @param {import("./pictures/episode.js").Episode} episode @param {number} i */
function sentence({ name, step, num, probability, value, best, low, high }, i) {
  const percent = (100 * probability[i]).toFixed(0), isBest = value[i] === best[i];
  const digits = isBest ? 1 : Math.min(6, Math.max(1, Math.ceil(1 - Math.log10(best[i] - value[i])))); // that tell them apart
  const [worth, top] = [value[i], best[i]].map((z) => z.toFixed(digits));
  const choice = num === 1 ? `the base policy's one draw, Q* ${worth}` : `a choice that had ${percent}%, Q* ${worth}` + (isBest ? ", the best" : `; the best has ${top}`);
  const [least, most] = [low[i], high[i]].map((z) => z.toFixed(1));
  const truth = least === most ? `The return that followed is ${least}` : `The episode was cut off: the return lies between ${least} and ${most}`;
  return `${name}, step ${step[i]}: ${choice}. ${truth}.`;
}

function legend() {
  const entries = [["evor-best", "distribution of the choice, its mean"], ["evor-worst", "its Q*"], ["evor-key-recorded", "the return that followed (a band where the episode was cut off)"]];
  return html("p", { class: "evor-legend" }, ...entries.map(([name, label]) => html("span", { class: `evor-entry ${name}` }, label)));
}
