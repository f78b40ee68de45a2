/** The module: a widget for anywidget; on a saved page, it starts by itself with the data of the page. */

import { Explorer } from "./explorer.js";
import { PageModel } from "./model.js";
import * as maths from "./maths.js";
import { Player } from "./player.js";
import { Candidates, choices, Reading } from "./reading.js";
import { sentence } from "./sentence.js";

/** What a saved page can hold. @type {Record<string, (data: any, el: HTMLElement) => object>} */
const PAGES = { explorer: (data, el) => new Explorer(new PageModel(data), el), rollout: (data, el) => new Player(data, el) };

/** @param {{model: import("./model.js").Model, el: HTMLElement}} _ */
function render({ model, el }) {
  const explorer = new Explorer(model, el);
  return () => explorer.close();
}

const saved = document.getElementById("evor-data");
if (saved) {
  const { kind, ...data } = JSON.parse(saved.textContent ?? "");
  PAGES[kind](data, /** @type {HTMLElement} */ (document.getElementById("evor-page")));
}

/** For the tests, which compare the formulas with those of the package. */
export const numbers = { ...maths, Candidates, Reading, choices, sentence };
export default { render };
