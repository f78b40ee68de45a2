/** What the kernel or the page sends: traits with arrays in them, and a stand-in for the kernel's model on a page. */

/**
 * @typedef {Object} Model what anywidget gives, or `PageModel`
 * @property {(name: string) => any} get
 * @property {(name: string, value: any) => void} set
 * @property {() => void} save_changes
 * @property {(event: string, listener: () => void) => void} on
 * @property {(event: string, listener: () => void) => void} off
 * @property {((message: any) => void) | null} send null without a kernel
 */

/** float32 numbers from a kernel's buffer, or from base64 in a page. @param {DataView | string} data */
export function floats(data) {
  if (typeof data !== "string") return new Float32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
  return new Float32Array(Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)).buffer);
}

/** Settings travel as JSON, which has no infinity. @param {number | string} value */
export const number = (value) => (value === "inf" ? Infinity : Number(value));
/** @param {number} value */
export const plain = (value) => (value === Infinity ? "inf" : value);

/** Tell the kernel what was set. One that is gone cannot be told, which is no error of the page. @param {Model} model */
export function save(model) {
  try {
    model.save_changes();
  } catch {
    // The explorer says that the kernel does not answer.
  }
}

/** A state with its arrays. @param {any} sent */
export function parseView(sent) {
  const bounds = (/** @type {any} */ { low, high, text }) => ({ low: floats(low), high: floats(high), text });
  return {
    ...sent,
    counts: sent.counts.map((/** @type {any} */ { num, atoms, weights }) => ({
      num,
      atoms: floats(atoms),
      weights: weights === null ? null : floats(weights),
    })),
    planes: sent.planes.map((/** @type {any} */ plane) => ({ ...plane, ends: floats(plane.ends) })),
    recorded: bounds(sent.recorded),
    fresh: bounds(sent.fresh),
    own: bounds(sent.own),
  };
}

/** The way that would follow, as points in each plane. @param {any} sent */
export const parseTrack = (sent) => (sent?.planes ? { ...sent, planes: sent.planes.map(floats) } : null);

/** An agent with its arrays. @param {any} sent */
export function parseScene(sent) {
  const { places } = sent.states;
  return { ...sent, states: { ...sent.states, places: places ? floats(places) : null } };
}

/** Holds what a page was saved with; another state brings its own arrays. @implements {Model} */
export class PageModel {
  send = null;

  /** @param {{traits: Record<string, any>, states: any[]}} saved */
  constructor({ traits, states }) {
    this.traits = { ...traits };
    this.states = states;
    /** @type {Record<string, Set<() => void>>} */
    this.listeners = {};
    this.choose();
  }

  /** @param {string} name */
  get(name) {
    return this.traits[name];
  }

  /** @param {string} name @param {any} value */
  set(name, value) {
    if (this.traits[name] === value) return;
    this.traits[name] = value;
    if (name === "state") this.choose();
    this.listeners[`change:${name}`]?.forEach((listener) => listener());
  }

  choose() {
    const { view, track } = this.states[this.traits.state];
    this.set("view", view);
    this.set("track", track);
  }

  /** @param {string} event @param {() => void} listener */
  on(event, listener) {
    (this.listeners[event] ??= new Set()).add(listener);
  }

  /** @param {string} event @param {() => void} listener */
  off(event, listener) {
    this.listeners[event]?.delete(listener);
  }

  save_changes() {}
}
