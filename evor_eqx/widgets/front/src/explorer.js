/** The explorer on a page: controls, sentence, table and pictures, all computed here from the arrays of one state. */

import { choice, integer, scale, TAU_Q, TAU_R } from "./controls.js";
import { html, resize, set } from "./dom.js";
import { Legend } from "./legend.js";
import { ROLES } from "./marks.js";
import { parseScene, parseTrack, parseView, number, plain, save } from "./model.js";
import { ChoicesPicture } from "./pictures/choices.js";
import { DistributionsPicture } from "./pictures/distributions.js";
import { MapPicture } from "./pictures/map.js";
import { SelectionPicture } from "./pictures/selection.js";
import { ValuesPicture } from "./pictures/values.js";
import { Candidates, Reading } from "./reading.js";
import { sentence } from "./sentence.js";

const SETTINGS = ["tau_r", "tau_q", "num_candidates", "num_returns"];
const PLACES = ["agent", "source", "state", "seed", "place", "num_flow_steps"]; // where to look, which needs the kernel
const PATIENCE = 5000; // milliseconds until the page says that the kernel does not answer
const QUIET = 400; // milliseconds after the last change, before the track is asked for and the sentence is read out
const ALONE =
  "The kernel does not answer: it is busy, or it has stopped (then run the cell again). The pictures show the last state";
const STILL = ", and the sliders of temperatures, candidates and atoms still work";
const DATA = "held-out data", ROLLOUT = "a rollout", PLACE = "a place in the maze";

export class Explorer {
  /** @param {import("./model.js").Model} model @param {HTMLElement} el */
  constructor(model, el) {
    this.model = model;
    /** @type {(number | null)[]} the compared candidates A and B, and the one that is pointed at */
    [this.a, this.b, this.focus] = [null, null, null];
    /** @type {ReturnType<typeof setTimeout> | undefined} runs while the kernel has not answered */
    this.wait = undefined;
    this.text = html("p", { class: "evor-sentence" });
    this.spoken = html("p", { class: "evor-spoken", role: "status", "aria-live": "polite" });
    this.message = html("p", { class: "evor-message", role: "alert" });
    this.table = html("tbody");
    this.waiting = html("p", { class: "evor-waiting", role: "status" });
    this.legend = new Legend();
    this.maps = html("div", { class: "evor-maps" });
    this.pictures = {
      values: new ValuesPicture(),
      distributions: new DistributionsPicture(),
      selection: new SelectionPicture(),
      choices: new ChoicesPicture(),
    };
    this.controls = this.makeControls();
    /** @type {[string, () => void][]} */
    this.listeners = [
      ["change:scene", () => this.open()],
      ["change:view", () => this.see()],
      ["change:track", () => this.schedule()],
      ["change:weights", () => this.schedule()],
      ["change:message", () => this.say()],
      ["msg:custom", () => this.answered()],
      ["comm_live_update", () => this.miss()], // JupyterLab's, of a kernel that is restarted or shut down
      ...SETTINGS.map((name) => /** @type {[string, () => void]} */ ([`change:${name}`, () => this.settings()])),
      ...PLACES.map((name) => /** @type {[string, () => void]} */ ([`change:${name}`, () => this.later()])),
      ["change:plane", () => this.open()],
    ];
    for (const [event, listener] of this.listeners) model.on(event, listener);
    this.element = this.arrange();
    // JupyterLab leaves the keys of such elements alone: arrows move a slider, not the notebook's cells.
    for (const each of this.element.querySelectorAll("input, select, button")) set(each, { "data-lm-suppress-shortcuts": "true" });
    el.append(this.element);
    const { selection, values, choices } = this.pictures;
    selection.onCandidate = (candidate, isClick) => this.point(candidate, isClick);
    values.onTau = (tauR) => this.put({ tau_r: tauR });
    choices.onTaus = (tauR, tauQ) => this.put({ tau_r: tauR, tau_q: tauQ });
    this.open();
    this.say();
  }

  close() {
    for (const [event, listener] of this.listeners) this.model.off(event, listener);
    this.controls.forEach((control) => control.close?.());
    clearTimeout(this.timer);
    clearTimeout(this.wait);
  }

  makeControls() {
    const { model } = this;
    const scene = () => model.get("scene") ?? {};
    const from = (/** @type {string} */ source, /** @type {any} */ range) => () => (model.get("source") === source ? range() : null);
    const axis = (/** @type {0 | 1} */ i) => ({
      get: (/** @type {number[]} */ place) => place?.[i] ?? 0,
      put: (/** @type {number} */ value, /** @type {number[]} */ place) => place.map((old, k) => (k === i ? value : old)),
      name: "xy"[i],
    });
    const along = (/** @type {0 | 1} */ i) => from(PLACE, () => scene().range && { min: scene().range[i], max: scene().range[i + 2], step: 0.1 });
    this.reset = html("button", { type: "button", class: "evor-reset", title: "Put all sliders back to the agent's own settings." }, "Reset");
    this.reset.addEventListener("click", () => this.put(scene().defaults ?? {}));
    this.fresh = html("button", { type: "button", class: "evor-fresh", title: "Add returns of the base policy's rollouts from this state." }, "Roll out from here");
    this.fresh.addEventListener("click", () => this.ask("roll_out"));
    const agents = () => (model.get("agents") ?? []).map((/** @type {any} */ each, /** @type {number} */ value) => ({ value, ...each }));
    const planes = () => (scene().choices ?? []).map((/** @type {string} */ label, /** @type {number} */ value) => ({ value, label }));
    const sources = () => (scene().sources ?? []).map((/** @type {string} */ label) => ({ value: label, label }));
    return [
      choice(model, "agent", "agent", "The trained agent, by its environment.", agents, "agents"),
      choice(model, "source", "state from", "Where the state to look at comes from.", sources, "scene"),
      integer(model, "state", "state", "Which of the states.", () => (model.get("source") === PLACE ? null : { min: 0, max: model.get("last") }), ["source", "last"]),
      integer(model, "seed", "rollout's seed", "Which episode to run with these settings.", from(ROLLOUT, () => ({ min: 0, max: 2 ** 32 - 1 })), ["source"], { type: "number" }),
      integer(model, "place", "x (m)", "Place along the horizontal axis.", along(0), ["source", "scene"], axis(0)),
      integer(model, "place", "y (m)", "Place along the vertical axis.", along(1), ["source", "scene"], axis(1)),
      choice(model, "plane", "candidates by", "The two coordinates in which chunks of actions are drawn.", planes, "scene"),
      integer(model, "num_flow_steps", "flow steps", "Steps in flow time of both flows. Another number draws candidates and distributions anew.", () => (model.send ? { min: 1, max: Math.max(50, model.get("num_flow_steps")) } : null), []),
      html("div", { class: "evor-buttons" }, this.fresh, this.reset),
    ];
  }

  arrange() {
    const { model } = this;
    const powers = (/** @type {number} */ last) => Array.from({ length: 1 + Math.log2(last) }, (_, k) => 2 ** k);
    const sliders = [
      scale(model, "tau_r", "τ_R, value temperature", "Small: Q* is the distribution's upper tail; large: its mean. In units of return.", TAU_R),
      scale(model, "tau_q", "τ_Q, selection temperature", "Small: the best candidate; large: the base policy. In units of return.", TAU_Q),
      scale(model, "num_candidates", "N_π, candidates", "How many actions are drawn from the base policy to choose from.", powers(128)),
      scale(model, "num_returns", "N, atoms", "How many returns stand for each candidate's distribution.", [1, 4, 8, 16, 64]),
    ];
    this.controls.push(...sliders);
    const head = ["", "probability", "Q*", "mean", "largest"].map((name) => html("th", { scope: "col" }, name));
    head[0].append(html("span", { class: "evor-spoken" }, "candidate"));
    const { values, distributions, selection, choices } = this.pictures;
    this.parts = html("div", { class: "evor-pictures" }, this.maps, values.element, distributions.element, selection.element, choices.element);
    return html(
      "section",
      { class: "evor-explorer", "aria-label": "explorer" },
      html("div", { class: "evor-where" }, ...this.controls.slice(0, -4)),
      html("div", { class: "evor-settings" }, ...sliders),
      html(
        "div",
        { class: "evor-words" },
        html("div", {}, this.message, this.waiting, this.text, this.spoken, this.legend.element),
        html("table", { class: "evor-table" }, html("thead", {}, html("tr", {}, ...head)), this.table),
      ),
      this.parts,
    );
  }

  /** Show another agent. */
  open() {
    const sent = this.model.get("scene");
    this.shown = this.view = this.scene = null;
    this.hide(true); // until there is a state to see
    if (!sent?.maps) return;
    this.scene = parseScene(sent);
    this.legend.open(this.scene, Boolean(this.model.send));
    const plane = this.model.get("plane") ?? 0;
    this.mapPictures = this.scene.maps[plane].map((/** @type {any} */ map) => new MapPicture(map, this.scene));
    this.maps.replaceChildren(...this.mapPictures.map((picture) => picture.element));
    this.maps.dataset.count = String(this.mapPictures.length);
    for (const picture of this.mapPictures) {
      picture.onCandidate = (candidate, isClick) => this.point(candidate, isClick);
      picture.onPlace = (x, y) => this.go(x, y);
    }
    this.see();
  }

  /** @param {boolean} isHidden whether pictures and words are not to be seen */
  hide(isHidden) {
    for (const part of [this.parts, this.legend.element, this.text, this.table.parentElement]) part.hidden = isHidden;
  }

  /** Show another state. */
  see() {
    const sent = this.model.get("view");
    if (!sent?.counts || !this.scene || sent.scene !== this.scene.id) return;
    this.view = parseView(sent);
    this.computed = new Map();
    [this.a, this.b, this.focus] = [null, null, null];
    this.hide(false);
    this.fresh.hidden = !this.model.send || !this.view.can_roll_out;
    this.legend.see(this.view);
    for (const picture of this.all) picture.see(this.view);
    this.read();
    this.later();
  }

  /** Follow a setting. */
  settings() {
    this.schedule();
    this.later();
  }

  /** All pictures. */
  get all() {
    return [...(this.mapPictures ?? []), ...Object.values(this.pictures)];
  }

  /** Draw once in the next frame, however many changes there are before it. */
  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.read();
    });
  }

  /** What can wait until nothing has changed for a while: the track that would follow, and reading the sentence out. */
  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.spoken.textContent = this.text.textContent;
      this.ask("follow");
    }, QUIET);
  }

  /** Compute what settings make of the state, and draw it. */
  read() {
    if (!this.view) return;
    const settings = Object.fromEntries(SETTINGS.map((name) => [name, number(this.model.get(name))]));
    const count = this.scene.num_returns.indexOf(settings.num_returns);
    if (!this.computed.has(count)) this.computed.set(count, new Candidates(this.view.counts[count]));
    const candidates = this.computed.get(count), own = this.own(settings);
    const isSoftmax = this.scene.is_softmax;
    if (!isSoftmax && !own) return; // the last ones stay until the kernel has computed these, or says why it cannot
    const reading = new Reading(candidates, /** @type {any} */ (settings), this.view.level, own);
    const roles = { ...reading.roles, ...(this.view.has_data ? { data: candidates.count - 1 } : {}) };
    for (const name of /** @type {const} */ (["a", "b", "focus"]))
      if (this[name] !== null && this[name] < reading.n) roles[name] = this[name];
    const track = parseTrack(this.model.get("track"));
    if (track) track.isOld = SETTINGS.some((name) => number(track.settings[name]) !== settings[name]);
    const shown = { reading, candidates, roles, view: this.view, isSoftmax, track: track?.key === this.view.key ? track : null };
    this.shown = shown;
    for (const picture of this.all) picture.read(shown);
    this.legend.read(shown);
    this.text.textContent = sentence(reading, this.view.name, this.view.recorded, isSoftmax) + (this.view.note ? ` ${this.view.note}` : "");
    this.fill(shown);
  }

  /** The weights of a selection rule of one's own, which only the kernel knows. @param {Record<string, number>} settings */
  own(settings) {
    const sent = this.model.get("weights");
    const isOld = sent?.key !== this.view.key || SETTINGS.some((name) => number(sent.settings[name]) !== settings[name]);
    return this.scene.is_softmax || isOld ? null : sent.values;
  }

  /** Fill the table. @param {any} shown */
  fill({ reading, candidates, roles }) {
    /** @type {[string, number][]} */
    const rows = [["picked", reading.picked], ["best by Q*", reading.best], ["best by mean", reading.byMean]];
    for (const name of ["a", "b", "focus", "data"]) if (roles[name] !== undefined) rows.push([ROLES[name].label, roles[name]]);
    resize(this.table, rows.length, () => html("tr", {}, html("th", { scope: "row" }), ...[1, 2, 3, 4].map(() => html("td")))).forEach((row, k) => {
      const [name, i] = rows[k], weight = reading.weights[i];
      const cells = [
        name === "data's action" || name.startsWith("best by Q") ? name : `${name} (rank ${reading.rank(i)})`,
        weight === undefined ? "" : weight < 0.001 ? "< 0.1%" : `${(100 * weight).toFixed(1)}%`,
        ...[reading.values.at(i), candidates.means.at(i), candidates.largest.at(i)].map((value) => value.toFixed(2)),
      ];
      [...row.children].forEach((cell, column) => (cell.textContent = cells[column]));
    });
  }

  /** Point at a candidate, or keep one to compare. @param {number | null} candidate @param {boolean} isClick */
  point(candidate, isClick) {
    if (isClick && candidate !== null) {
      const { n } = this.shown.reading;
      [this.a, this.b] = [this.a, this.b].map((kept) => (kept !== null && kept < n ? kept : null));
      if (this.a === candidate) this.a = null;
      else if (this.b === candidate) this.b = null;
      else if (this.a === null) this.a = candidate;
      else this.b = candidate;
    } else if (candidate === this.focus) return;
    this.focus = isClick ? null : candidate;
    this.schedule();
  }

  /** Go to a place of the map: itself where a place is a state, else the held-out state nearest to it. @param {number} x @param {number} y */
  go(x, y) {
    const { model } = this, { places } = this.scene.states;
    if (this.scene.sources.includes(PLACE)) {
      model.set("place", [x, y].map((value) => Math.round(value * 10) / 10));
      model.set("source", PLACE);
    } else if (places) {
      let nearest = 0, least = Infinity;
      for (let i = 0; i < places.length / 2; i++) {
        const away = Math.hypot(places[2 * i] - x, places[2 * i + 1] - y);
        if (away < least) [nearest, least] = [i, away];
      }
      model.set("source", DATA);
      save(model); // first: with it the kernel goes back to the state that was shown before
      model.set("state", nearest);
    }
    save(model);
  }

  /** Set settings. @param {Record<string, number>} settings */
  put(settings) {
    for (const [name, value] of Object.entries(settings)) this.model.set(name, plain(number(value)));
    save(this.model);
  }

  /** Ask the kernel for something. @param {string} kind */
  ask(kind) {
    if (!this.model.send) return;
    this.wait ??= setTimeout(() => this.miss(), PATIENCE);
    try {
      this.model.send({ kind });
    } catch {
      this.miss();
    }
  }

  /** The kernel does not answer. */
  miss() {
    this.isAlone = true;
    this.say();
  }

  /** The kernel has answered. */
  answered() {
    clearTimeout(this.wait);
    [this.wait, this.isAlone] = [undefined, false];
    this.say();
  }

  /** Say what went wrong. */
  say() {
    this.message.textContent = this.model.get("message") ?? "";
    this.message.hidden = !this.message.textContent;
    this.waiting.textContent = this.isAlone ? `${ALONE}${this.scene?.is_softmax ? STILL : ""}.` : "";
    this.waiting.hidden = !this.isAlone;
  }
}
