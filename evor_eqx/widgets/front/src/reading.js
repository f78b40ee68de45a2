/** What settings make of a state: values, weights, who is preferred, and where that changes. Nothing is drawn here. */

import { argmax, atLevel, divergence, effectiveNumber, largest, mean, selectionWeights, softValue } from "./maths.js";

/** tau_R and tau_Q at which curves and the map of choices are computed; the ends stand for 0 and infinity. */
export const TAUS_R = [0, ...Array.from({ length: 46 }, (_, i) => 10 ** (-2 + (5 * i) / 45)), Infinity];
export const TAUS_Q = [0, ...Array.from({ length: 24 }, (_, i) => 10 ** (-3 + (5 * i) / 23)), Infinity];

/**
 * @typedef {Object} Settings
 * @property {number} tau_r
 * @property {number} tau_q
 * @property {number} num_candidates
 * @property {number} num_returns
 */

/** The candidates of one state, with Q* at all of TAUS_R. */
export class Candidates {
  /**
   * @param {import("./maths.js").Distributions} distributions of all candidates, and of the data's own action last
   */
  constructor(distributions) {
    this.distributions = distributions;
    this.count = distributions.atoms.length / distributions.num;
    const each = Array.from({ length: this.count }, (_, i) => i);
    this.means = each.map((i) => mean(distributions, i));
    this.largest = each.map((i) => largest(distributions, i));
    this.curves = TAUS_R.map((tau) => this.values(tau));
  }

  /**
   * Q* of all candidates.
   * @param {number} tauR
   */
  values(tauR) {
    return this.largest.map((top, i) => softValue(this.distributions, i, tauR, top));
  }
}

/** A reading of candidates by settings. `own` are the weights of a selection rule of one's own. */
export class Reading {
  /**
   * @param {Candidates} candidates
   * @param {Settings} settings
   * @param {number} level in [0, 1): decides which candidate is picked
   * @param {ArrayLike<number> | null} own
   */
  constructor(candidates, settings, level, own = null) {
    this.candidates = candidates;
    this.settings = settings;
    this.n = settings.num_candidates;
    this.values = candidates.values(settings.tau_r);
    this.weights = own ? Float64Array.from(own) : selectionWeights(this.values.slice(0, this.n), settings.tau_q);
    this.picked = atLevel(this.weights, level);
    this.order = Array.from({ length: this.n }, (_, i) => i).sort((a, b) => this.values[b] - this.values[a] || a - b);
    this.best = this.order[0];
    this.byMean = argmax(candidates.means, this.n);
    this.effective = effectiveNumber(this.weights);
    this.divergence = divergence(this.weights);
  }

  /** The rank of a candidate by Q*, from 1. @param {number} candidate */
  rank(candidate) {
    return this.order.indexOf(candidate) + 1;
  }

  /**
   * Best, median and worst candidate, as far as they exist.
   * @returns {Record<string, number>}
   */
  get roles() {
    /** @type {Record<string, number>} */
    const roles = { best: this.order[0] };
    if (this.n > 2) roles.median = this.order[Math.floor(this.n / 2)];
    if (this.n > 1) roles.worst = this.order[this.n - 1];
    return roles;
  }

  /**
   * The value temperatures nearest to the present one at which another candidate has the largest Q*. Between two
   * temperatures of the grid they are interpolated.
   * @returns {number[]} none, one or two, rising
   */
  get changes() {
    const { curves } = this.candidates, now = { tau: this.settings.tau_r, values: this.values };
    const grid = TAUS_R.map((tau, k) => ({ tau, values: curves[k] }));
    const below = [now, ...grid.filter(({ tau }) => tau < now.tau).reverse()];
    const above = [now, ...grid.filter(({ tau }) => tau > now.tau)];
    return [below, above].flatMap((way) => {
      const k = way.findIndex(({ values }) => argmax(values, this.n) !== this.best);
      return k > 0 ? [crossing(way[k - 1], way[k], this.best, argmax(way[k].values, this.n))] : [];
    });
  }
}

/** @typedef {{tau: number, values: ArrayLike<number>}} Point Q* of all candidates at a temperature */

/**
 * Where `best` falls behind `other`, on a logarithmic scale from 0.01 to 1000.
 * @param {Point} from where `best` leads
 * @param {Point} to where `other` does
 * @param {number} best
 * @param {number} other
 */
function crossing(from, to, best, other) {
  const [start, end] = [from, to].map(({ tau }) => Math.log(Math.min(Math.max(tau, 0.01), 1000)));
  const [lead, lag] = [from.values[best] - from.values[other], to.values[other] - to.values[best]];
  return Math.exp(start + (end - start) * (lead + lag > 0 ? lead / (lead + lag) : 0.5));
}

/**
 * The candidate that is picked at each pair of temperatures, [TAUS_Q.length][TAUS_R.length].
 * @param {Candidates} candidates
 * @param {number} n
 * @param {number} level
 */
export function choices(candidates, n, level) {
  const values = candidates.curves.map((curve) => Float64Array.from(curve.slice(0, n)));
  const tops = values.map((each) => each[argmax(each)]);
  const sums = new Float64Array(n);
  const pick = (/** @type {Float64Array} */ each, /** @type {number} */ top, /** @type {number} */ tauQ) => {
    // As `atLevel` of `selectionWeights`, without arrays of its own: it is called 1,248 times for a state.
    let sum = 0;
    for (let i = 0; i < n; i++) sums[i] = sum += tauQ > 0 ? Math.exp((each[i] - top) / tauQ) : Number(each[i] === top);
    let i = 0;
    while (i < n - 1 && sums[i] <= level * sum) i++;
    return i;
  };
  return TAUS_Q.map((tauQ) => values.map((each, k) => pick(each, tops[k], tauQ)));
}
