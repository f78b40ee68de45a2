/** What stands around in a map: walls, goals, cubes. */

/** The walls of a maze, as one path. @param {any} maze its walls, unit and offset @param {import("../plot.js").Plot} plot */
export function wallPath({ walls, unit, offset }, { x, y }) {
  let path = "";
  for (const [i, row] of (walls ?? []).entries())
    for (const [j, isWall] of row.entries()) {
      if (!isWall) continue;
      const [left, right] = [j - 0.5, j + 0.5].map((k) => x(k * unit - offset));
      const [bottom, top] = [i - 0.5, i + 0.5].map((k) => y(k * unit - offset));
      path += `M${left} ${bottom}H${right}V${top}H${left}Z`;
    }
  return path;
}

/** Whether a place is inside a wall or outside of the maze. @param {any} maze @param {number} x @param {number} y */
export function isWall({ walls, unit, offset }, x, y) {
  const cell = (/** @type {number} */ at) => Math.floor((at + offset) / unit + 0.5);
  return Boolean(walls?.[cell(y)]?.[cell(x)] ?? walls);
}

/** The symbol of a goal. */
export const STAR = Array.from({ length: 10 }, (_, k) => {
  const angle = (k * Math.PI) / 5, radius = k % 2 ? 3.4 : 8;
  return `${k ? "L" : "M"}${(radius * Math.sin(angle)).toFixed(2)} ${(-radius * Math.cos(angle)).toFixed(2)}`;
}).join("") + "Z";
