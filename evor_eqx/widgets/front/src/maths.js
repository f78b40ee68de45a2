/**
 * The formulas of a decision: soft values, selection weights and what is read from them.
 *
 * They are those of `evor_eqx/distributions.py` and `evor_eqx/agent/selection.py`, in double precision. A test compares
 * both on the same arrays.
 */

/**
 * The return distributions of some candidates, with the same number of atoms each.
 * @typedef {Object} Distributions
 * @property {number} num atoms of a distribution
 * @property {Float32Array} atoms returns, [candidates * num]
 * @property {Float32Array | null} weights probabilities of the atoms, [candidates * num]; null: all are 1 / num
 */

/**
 * Call `visit(atom, weight)` for each atom of one candidate that has a weight.
 * @param {Distributions} distributions
 * @param {number} candidate
 * @param {(atom: number, weight: number) => void} visit
 */
export function eachAtom({ num, atoms, weights }, candidate, visit) {
  const equal = Math.fround(1 / num);
  for (let j = candidate * num; j < (candidate + 1) * num; j++) {
    const weight = weights ? weights[j] : equal;
    if (weight > 0) visit(atoms[j], weight);
  }
}

/**
 * The expected return: the limit of Q* for large tau_R.
 * @param {Distributions} distributions
 * @param {number} candidate
 */
export function mean(distributions, candidate) {
  let total = 0;
  eachAtom(distributions, candidate, (atom, weight) => (total += weight * atom));
  return total;
}

/**
 * The largest atom: the limit of Q* for small tau_R.
 * @param {Distributions} distributions
 * @param {number} candidate
 */
export function largest(distributions, candidate) {
  let top = -Infinity;
  eachAtom(distributions, candidate, (atom) => (top = Math.max(top, atom)));
  return top;
}

/**
 * Q* = tau_R log sum_j w_j exp(z_j / tau_R), in units of return.
 * @param {Distributions} distributions
 * @param {number} candidate
 * @param {number} tauR in [0, Infinity]
 * @param {number} [top] the candidate's largest atom, if it is known
 */
export function softValue(distributions, candidate, tauR, top = largest(distributions, candidate)) {
  if (tauR === Infinity) return mean(distributions, candidate);
  if (tauR === 0) return top;
  const excess = expectation(distributions, candidate, top, tauR, Math.expm1);
  if (excess > -0.5) return top + tauR * Math.log1p(excess);
  return top + tauR * Math.log(expectation(distributions, candidate, top, tauR, Math.exp));
}

/**
 * E f((z - top) / tau) over one candidate's atoms. It is called 400,000 times for a state, so it calls nothing else.
 * @param {Distributions} distributions
 * @param {number} candidate
 * @param {number} top
 * @param {number} tau
 * @param {(x: number) => number} f
 */
function expectation({ num, atoms, weights }, candidate, top, tau, f) {
  const equal = Math.fround(1 / num), end = (candidate + 1) * num;
  let sum = 0;
  for (let j = candidate * num; j < end; j++) {
    const weight = weights ? weights[j] : equal;
    if (weight > 0) sum += weight * f((atoms[j] - top) / tau);
  }
  return sum;
}

/**
 * softmax(Q* / tau_Q): the probability of each candidate. 0 is best-of-N with ties shared, Infinity uniform.
 * @param {ArrayLike<number>} values Q* of the candidates that count
 * @param {number} tauQ in [0, Infinity]
 * @returns {Float64Array}
 */
export function selectionWeights(values, tauQ) {
  const weights = new Float64Array(values.length);
  let top = -Infinity, total = 0;
  for (let i = 0; i < values.length; i++) top = Math.max(top, values[i]);
  for (let i = 0; i < values.length; i++) {
    weights[i] = tauQ > 0 ? Math.exp((values[i] - top) / tauQ) : Number(values[i] === top);
    total += weights[i];
  }
  return weights.map((weight) => weight / total);
}

/**
 * The first index at which the cumulative weights exceed `level`, in [0, 1): a draw, if the level is uniform.
 * @param {ArrayLike<number>} weights
 * @param {number} level
 */
export function atLevel(weights, level) {
  let total = 0;
  for (let i = 0; i < weights.length; i++) total += weights[i];
  let sum = 0;
  for (let i = 0; i < weights.length; i++) {
    sum += weights[i];
    if (sum > level * total) return i;
  }
  return weights.length - 1;
}

/**
 * The effective number of candidates, 1 / sum of squared weights.
 * @param {ArrayLike<number>} weights
 */
export function effectiveNumber(weights) {
  let squares = 0;
  for (let i = 0; i < weights.length; i++) squares += weights[i] ** 2;
  return 1 / squares;
}

/**
 * KL(selection | base policy) in nats, among the candidates: log N_pi minus the entropy.
 * @param {ArrayLike<number>} weights
 */
export function divergence(weights) {
  let entropy = 0;
  for (let i = 0; i < weights.length; i++) if (weights[i] > 0) entropy -= weights[i] * Math.log(weights[i]);
  return Math.log(weights.length) - entropy;
}

/**
 * The index of the largest value, the first one among equals.
 * @param {ArrayLike<number>} values
 * @param {number} [count] how many count
 */
export function argmax(values, count = values.length) {
  let best = 0;
  for (let i = 1; i < count; i++) if (values[i] > values[best]) best = i;
  return best;
}
