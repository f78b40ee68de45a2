/** What the pictures mean, in a few plain sentences. `evor_eqx/widgets/explorer/sentence.py` says the same; a test compares. */

import { argmax } from "./maths.js";

const SURE = 0.9, EVEN = 0.8; // the best one's probability; the effective number as a share of N_pi

/**
 * @param {import("./reading.js").Reading} reading
 * @param {string} name of the state
 * @param {{low: ArrayLike<number>, high: ArrayLike<number>}} recorded bounds of the returns that were recorded nearby
 * @param {boolean} isSoftmax whether tau_Q is a reason for the choice
 */
export function sentence(reading, name, recorded, isSoftmax) {
  const parts = [`At ${name}, ${choice(reading, isSoftmax)}.`, `${promise(reading, recorded)}.`, theMean(reading)];
  if (reading.picked !== reading.best) parts.push(`This draw picks number ${reading.rank(reading.picked)} by Q* instead.`);
  if (!recorded.low.length) parts.push("No return recorded nearby is known: the recordings end too soon.");
  return parts.filter(Boolean).join(" ");
}

/** @param {import("./reading.js").Reading} reading @param {boolean} isSoftmax */
function choice(reading, isSoftmax) {
  const { n, weights, best, effective } = reading;
  const why = (/** @type {string} */ reason) => (isSoftmax ? `: ${reason}` : "");
  if (n === 1) return "there is one candidate, so the base policy decides";
  const percent = `${(100 * weights[best]).toFixed(0)}%`;
  if (weights[best] >= SURE) {
    const reason = why("it leads by much more than τ_Q");
    return `the choice is almost certain (${percent} for the best of ${n} candidates)${reason}`;
  }
  if (effective >= EVEN * n) {
    const reason = why("their values differ by less than τ_Q");
    return `all ${n} candidates are about equally likely, so the agent acts like the base policy${reason}`;
  }
  const top = argmax(weights);
  if (top !== best && !isSoftmax)
    return `the agent's rule prefers number ${reading.rank(top)} of ${n} by Q* (${(100 * weights[top]).toFixed(0)}%)`;
  const reason = why("others come within a few τ_Q of it");
  return `the best of ${n} candidates is preferred, but not sure to be picked (${percent}, by chance ${(100 / n).toFixed(0)}%)${reason}`;
}

/**
 * What Q* of the best candidate is, beside its own returns and those recorded nearby.
 * @param {import("./reading.js").Reading} reading
 * @param {{low: ArrayLike<number>, high: ArrayLike<number>}} recorded
 */
function promise({ n, values, best, candidates }, recorded) {
  const value = values[best], low = candidates.means[best], high = candidates.largest[best];
  const share = high - low > 1e-3 * Math.max(1, Math.abs(high)) ? (value - low) / (high - low) : null;
  let what = "between the mean and the best return that the critic expects";
  if (share === null) what = "and so is every return that the critic expects of it";
  else if (share > 2 / 3) what = "near the best return that the critic thinks possible (τ_R is small beside the spread of its returns)";
  else if (share < 1 / 3) what = "near the mean return that the critic expects (τ_R is large beside the spread of its returns)";
  const text = `${n === 1 ? "Its" : "The best one's"} Q* is ${value.toFixed(1)}, ${what}`;
  return recorded.low.length ? `${text}; ${beside(value, recorded)}` : text;
}

/**
 * The value beside the average return that was recorded nearby; two standard errors apart is apart.
 * @param {number} value
 * @param {{low: ArrayLike<number>, high: ArrayLike<number>}} recorded
 */
function beside(value, recorded) {
  const least = average(recorded.low), most = average(recorded.high);
  const spread = Math.max((2 * deviation(recorded.low, least)) / Math.sqrt(recorded.low.length), 0.05);
  const how = value > most + spread ? "more than" : value < least - spread ? "less than" : "about as much as";
  const range = least.toFixed(1) === most.toFixed(1) ? least.toFixed(1) : `${least.toFixed(1)} to ${most.toFixed(1)}`;
  return `that is ${how} was recorded nearby (${range} on average)`;
}

/** What the mean alone would have chosen, and where the preference changes. @param {import("./reading.js").Reading} reading */
function theMean(reading) {
  if (reading.n === 1) return "";
  const places = reading.changes.map(digits);
  if (!places.length) return "The mean and every other τ_R would choose the same one.";
  const isSame = reading.byMean === reading.best;
  const which = isSame ? "the same one" : `another one, number ${reading.rank(reading.byMean)} by Q*`;
  return `The mean would choose ${which}; the best one changes at τ_R = ${places.join(" and ")}.`;
}

/** Two significant digits. @param {number} number */
const digits = (number) => String(Number(number.toPrecision(2)));

/** @param {ArrayLike<number>} numbers */
const average = (numbers) => Array.from(numbers).reduce((sum, number) => sum + number, 0) / numbers.length;

/** @param {ArrayLike<number>} numbers @param {number} middle */
const deviation = (numbers, middle) =>
  Math.sqrt(average(Array.from(numbers).map((number) => (number - middle) ** 2)));
