/** The frame of a picture: a caption, two axes with their names, and a drawing area that fills the space it is given. */

import { scaleLinear, scaleLog } from "d3-scale";
import { html, newId, resize, set, svg } from "./dom.js";

const MARGIN = { left: 58, right: 16, top: 6, bottom: 36 };

/**
 * @typedef {Object} Axis
 * @property {string} name what it shows, with its unit
 * @property {[number, number]} domain
 * @property {boolean} [isLog]
 * @property {[number, string][]} [ticks] places and labels, instead of round numbers
 */

/** A picture with axes. Whoever makes it draws into `area` whenever `onSize` is called. */
export class Plot {
  /**
   * @param {string} name ends its class, `evor-<name>`
   * @param {string} caption
   * @param {Axis} x
   * @param {Axis} y
   * @param {boolean} [isMap] whether a unit has the same length on both axes
   */
  constructor(name, caption, x, y, isMap = false) {
    const id = newId("clip");
    this.axes = { x, y };
    this.isMap = isMap;
    this.x = this.y = scaleLinear();
    this.caption = html("figcaption", {}, caption);
    this.clip = svg("rect");
    this.area = svg("g", { "clip-path": `url(#${id})` });
    this.ticks = { x: svg("g"), y: svg("g") };
    this.names = { x: svg("text", { class: "evor-axis-name" }), y: svg("text", { class: "evor-axis-name" }) };
    this.frame = svg("rect", { class: "evor-frame" });
    this.svg = svg(
      "svg",
      { role: "img", "aria-label": caption },
      svg("clipPath", { id }, this.clip),
      this.frame,
      this.ticks.x,
      this.ticks.y,
      this.names.x,
      this.names.y,
      this.area,
    );
    this.element = html("figure", { class: `evor-plot evor-${name}` }, this.caption, this.svg);
    /** Called after the size or the axes changed. */
    this.onSize = () => {};
    new ResizeObserver(() => this.fit()).observe(this.svg);
  }

  /** Say what the picture shows, to those who cannot see it. @param {string} text */
  describe(text) {
    set(this.svg, { "aria-label": text });
  }

  /** Change the axes. @param {{x?: Partial<Axis>, y?: Partial<Axis>}} changes */
  change({ x = {}, y = {} }) {
    this.axes = { x: { ...this.axes.x, ...x }, y: { ...this.axes.y, ...y } };
    this.fit();
  }

  /** Fill the space that the page gives. */
  fit() {
    const { width, height } = this.svg.getBoundingClientRect();
    const right = width - MARGIN.right, bottom = height - MARGIN.bottom;
    if (right <= MARGIN.left || bottom <= MARGIN.top) return; // hidden, or not in the page yet
    this.box = { left: MARGIN.left, right, top: MARGIN.top, bottom };
    const size = { x: MARGIN.left, y: MARGIN.top, width: right - MARGIN.left, height: bottom - MARGIN.top };
    set(this.clip, size);
    set(this.frame, size);
    const { x, y } = this.isMap ? square(this.axes, size.width, size.height) : this.axes;
    this.x = scaleOf(x, [this.box.left, right]);
    this.y = scaleOf(y, [bottom, this.box.top]);
    this.drawTicks();
    this.onSize();
  }

  drawTicks() {
    const { left, right, bottom, top } = this.box ?? { left: 0, right: 0, bottom: 0, top: 0 };
    const across = ticksOf(this.axes.x, this.x, (right - left) / 60), up = ticksOf(this.axes.y, this.y, (bottom - top) / 40);
    resize(this.ticks.x, across.length, tick).forEach((group, i) => {
      const place = this.x(across[i][0]);
      set(group.firstChild, { x1: place, x2: place, y1: bottom, y2: bottom + 4 });
      set(group.lastChild, { x: place, y: bottom + 16, "text-anchor": "middle" }).textContent = across[i][1];
    });
    resize(this.ticks.y, up.length, tick).forEach((group, i) => {
      const place = this.y(up[i][0]);
      set(group.firstChild, { x1: left - 4, x2: left, y1: place, y2: place });
      set(group.lastChild, { x: left - 7, y: place + 4, "text-anchor": "end" }).textContent = up[i][1];
    });
    set(this.names.x, { x: (left + right) / 2, y: bottom + 32, "text-anchor": "middle" }).textContent = this.axes.x.name;
    const middle = (top + bottom) / 2;
    set(this.names.y, { x: 10, y: middle, "text-anchor": "middle", transform: `rotate(-90 10 ${middle})` }).textContent =
      this.axes.y.name;
  }

  /** Where the pointer is, in pixels of the picture. @param {MouseEvent} event @returns {[number, number]} */
  pixel(event) {
    const { left, top } = this.svg.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  /** Where the pointer is, in the axes' units; null outside of the frame. @param {MouseEvent} event @returns {[number, number] | null} */
  at(event) {
    const [x, y] = this.pixel(event);
    const { left, right, top, bottom } = this.box ?? { left: 0, right: -1, top: 0, bottom: 0 };
    return x < left || x > right || y < top || y > bottom ? null : [this.x.invert(x), this.y.invert(y)];
  }

  /** The path of a line through points in the axes' units. @param {Iterable<[number, number]>} points */
  line(points) {
    let path = "";
    for (const [x, y] of points) path += `${path ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`;
    return path;
  }
}

const tick = () => svg("g", { class: "evor-tick" }, svg("line"), svg("text"));

/** @param {Axis} axis @param {[number, number]} range */
const scaleOf = ({ domain, isLog }, range) => (isLog ? scaleLog : scaleLinear)(domain, range);

/** @param {Axis} axis @param {any} scale @param {number} count @returns {[number, string][]} */
function ticksOf(axis, scale, count) {
  if (axis.ticks) return axis.ticks;
  const most = Math.max(2, Math.min(6, Math.floor(count)));
  const format = axis.isLog ? (/** @type {number} */ tick) => String(tick) : scale.tickFormat(most);
  return scale.ticks(most).map((/** @type {number} */ tick) => [tick, format(tick)]);
}

/** Both axes with the longer domain that gives a metre the same length on both. @param {{x: Axis, y: Axis}} axes @param {number} width @param {number} height */
function square({ x, y }, width, height) {
  const perPixel = Math.max((x.domain[1] - x.domain[0]) / width, (y.domain[1] - y.domain[0]) / height);
  const around = (/** @type {Axis} */ axis, /** @type {number} */ pixels) => {
    const middle = (axis.domain[0] + axis.domain[1]) / 2, reach = (perPixel * pixels) / 2;
    return { ...axis, domain: /** @type {[number, number]} */ ([middle - reach, middle + reach]) };
  };
  return { x: around(x, width), y: around(y, height) };
}
