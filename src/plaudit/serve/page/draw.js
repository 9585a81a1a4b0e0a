// Elements, label colours and probability bars for all parts of the page.

import { percent } from "./figures.js";

const SVG = "http://www.w3.org/2000/svg";
const ALIKE = { positive: 0, negative: 1 }; // their places in --hue-…, of Okabe and Ito
const NUM_HUES = 6;

/** Make an element: el("p", { class: "note" }, "text", child, …). Functions become listeners, `style` a dictionary. */
export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "style") for (const [key, of] of Object.entries(value)) element.style.setProperty(key, of);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** The CSS colour of a label: blue and vermilion for positive and negative, otherwise by its place in the order. */
export function hue(label, labels) {
  const known = ALIKE[label.toLowerCase()];
  if (known !== undefined) return `var(--hue-${known})`;
  const sentiment = labels.some((other) => other.toLowerCase() in ALIKE);
  return `var(--hue-${(labels.indexOf(label) + (sentiment ? 2 : 0)) % NUM_HUES})`;
}

/** The bar of one verdict: a part for each label in the order of the model, named below in words. */
export function bar(probabilities, { small = false } = {}) {
  const labels = Object.keys(probabilities);
  const said = labels.map((label) => `${label} ${percent(probabilities[label])}`);
  const parts = labels.map((label) => el("span", { style: { "--hue": hue(label, labels), "flex-grow": `${1000 * probabilities[label]}` } }));
  const names = labels.map((label) =>
    el("li", { style: { "--hue": hue(label, labels) } }, el("span", {}, label), " ", el("b", {}, percent(probabilities[label]))));
  return el("div", { class: small ? "bar small" : "bar" },
    el("div", { class: "parts", role: "img", "aria-label": said.join(", ") }, parts),
    small ? null : el("ul", {}, names));
}

/** Move a bar to other probabilities of the same labels, so that it glides; false if its labels are others. */
export function moveBar(element, probabilities) {
  const labels = Object.keys(probabilities);
  const parts = element.querySelectorAll(".parts > span");
  if (parts.length !== labels.length) return false;
  const names = element.querySelectorAll("li");
  if (names.length && labels.some((label, i) => names[i].firstChild.textContent !== label)) return false;
  labels.forEach((label, i) => {
    parts[i].style.setProperty("flex-grow", `${1000 * probabilities[label]}`);
    if (names.length) names[i].lastChild.textContent = percent(probabilities[label]);
  });
  const said = labels.map((label) => `${label} ${percent(probabilities[label])}`);
  element.querySelector(".parts").setAttribute("aria-label", said.join(", "));
  return true;
}
