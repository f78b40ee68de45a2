/** What the pictures mean, in a few plain sentences. `evor_eqx/widgets/explorer/sentence.py` says the same; a test compares. */

const SURE = 0.9, EVEN = 1.5; // the best one's probability, and as a multiple of 1 / N_pi

/**
 * @param {import("./reading.js").Reading} reading
 * @param {string} name of the state
 * @param {{low: ArrayLike<number>, high: ArrayLike<number>}} recorded bounds of the returns that were recorded nearby
 * @param {boolean} isSoftmax whether tau_Q is a reason for the choice
 */
export function sentence(reading, name, recorded, isSoftmax) {
  const parts = [`At ${name}, ${choice(reading, isSoftmax)}.`, `${promise(reading, recorded)}.`, theMean(reading)];
  if (reading.picked !== reading.best) parts.push("This draw picks another one.");
  if (!recorded.low.length) parts.push("No return recorded nearby is known: the recordings end too soon.");
  return parts.filter(Boolean).join(" ");
}

/** @param {import("./reading.js").Reading} reading @param {boolean} isSoftmax */
function choice({ n, weights, best }, isSoftmax) {
  const why = (/** @type {string} */ reason) => (isSoftmax ? `: ${reason}` : "");
  if (n === 1) return "there is one candidate, so the base policy decides";
  const percent = `${(100 * weights[best]).toFixed(0)}%`;
  if (weights[best] >= SURE) {
    const reason = why("it leads by much more than τ_Q");
    return `the choice is almost certain (${percent} for the best of ${n} candidates)${reason}`;
  }
  if (weights[best] <= EVEN / n) {
    const reason = why("their values differ by less than τ_Q");
    return `all ${n} candidates are about equally likely, so the agent acts like the base policy${reason}`;
  }
  const reason = why("others come within a few τ_Q of it");
  return `the best of ${n} candidates is preferred, but not sure to be picked (${percent})${reason}`;
}

/**
 * What Q* of the best candidate is, beside its own returns and those recorded nearby.
 * @param {import("./reading.js").Reading} reading
 * @param {{low: ArrayLike<number>, high: ArrayLike<number>}} recorded
 */
function promise({ values, best, candidates }, recorded) {
  const value = values[best], low = candidates.means[best], high = candidates.largest[best];
  const share = high - low > 1e-3 * Math.max(1, Math.abs(high)) ? (value - low) / (high - low) : null;
  let text = `Its Q* is ${value.toFixed(1)}, between the mean and the best return that the critic expects`;
  if (share === null) text = `Its Q* is ${value.toFixed(1)}, and so is every return that the critic expects of it`;
  else if (share > 2 / 3)
    text = `Its Q* is ${value.toFixed(1)}, near the best return that the critic thinks possible (small τ_R is optimistic)`;
  else if (share < 1 / 3) text = `Its Q* is ${value.toFixed(1)}, near the mean return that the critic expects (large τ_R)`;
  return recorded.low.length ? `${text}; ${beside(value, recorded)}` : text;
}

/** @param {number} value @param {{low: ArrayLike<number>, high: ArrayLike<number>}} recorded */
function beside(value, recorded) {
  const least = average(recorded.low), most = average(recorded.high);
  const spread = Math.max(deviation(recorded.low, least), 0.05);
  const how = value > most + spread ? "more than" : value < least - spread ? "less than" : "about as much as";
  const range = least.toFixed(1) === most.toFixed(1) ? least.toFixed(1) : `${least.toFixed(1)} to ${most.toFixed(1)}`;
  return `that is ${how} was recorded nearby (${range} on average)`;
}

/** What the mean alone would have chosen, and where the preference changes. @param {import("./reading.js").Reading} reading */
function theMean(reading) {
  if (reading.n === 1) return "";
  const text =
    reading.byMean === reading.best
      ? "The mean prefers the same one"
      : `The mean would have preferred another one, which is number ${reading.rank(reading.byMean)} by Q*`;
  const places = reading.changes.map(digits);
  return places.length ? `${text}; the preference changes at τ_R = ${places.join(" and ")}.` : `${text}, at every τ_R.`;
}

/** Two significant digits. @param {number} number */
const digits = (number) => String(Number(number.toPrecision(2)));

/** @param {ArrayLike<number>} numbers */
const average = (numbers) => Array.from(numbers).reduce((sum, number) => sum + number, 0) / numbers.length;

/** @param {ArrayLike<number>} numbers @param {number} middle */
const deviation = (numbers, middle) =>
  Math.sqrt(average(Array.from(numbers).map((number) => (number - middle) ** 2)));
