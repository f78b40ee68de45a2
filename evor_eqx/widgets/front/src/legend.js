/** What colours and symbols mean: only what is in the pictures now. */

import { html } from "./dom.js";
import { ROLES, sign } from "./marks.js";
import { STAR } from "./pictures/around.js";
import { truths } from "./pictures/distributions.js";

export class Legend {
  constructor() {
    this.roles = Object.entries(ROLES).map(([role, { label, symbol }]) => ({ role, element: entry(role, label, symbol) }));
    this.goal = entry("goal-sign", "goal", STAR);
    this.states = entry("states-sign", "held-out states (click to go there)", "M-3 0A3 3 0 1 1 3 0A3 3 0 1 1-3 0Z");
    this.shades = html("span", {}, "candidates: bright has a high Q*, large a high probability, the ring is picked; numbers are ranks by Q*");
    this.truths = html("span", { class: "evor-truths" });
    this.track = html("span", { class: "evor-entry evor-follows" });
    const roles = this.roles.map(({ element }) => element);
    this.element = html("p", { class: "evor-legend" }, ...roles, this.goal, this.states, this.shades, this.truths, this.track);
  }

  /** Show another agent. @param {any} scene @param {boolean} hasKernel */
  open(scene, hasKernel) {
    this.goal.hidden = !scene.has_goals;
    this.states.hidden = !scene.walls;
    this.track.textContent = hasKernel ? "track by these settings" : "track by the agent's own settings";
  }

  /** Show another state. @param {any} view */
  see(view) {
    this.truths.replaceChildren(...truths(view).map(({ name, words }) => html("span", { class: `evor-entry evor-key-${name}` }, words)));
  }

  /** @param {{roles: Record<string, number>, track: any}} shown */
  read({ roles, track }) {
    for (const { role, element } of this.roles) element.hidden = roles[role] === undefined;
    this.track.hidden = !track;
  }
}

/** @param {string} name @param {string} label @param {string} symbol */
const entry = (name, label, symbol) => html("span", { class: `evor-signed evor-${name}` }, sign(symbol), label);
