// Shows an explanation: marks words in the text and lists the strongest.

import { el, hue } from "./draw.js";
import { signed } from "./figures.js";

const MAX_MARKS = 800;
const MAX_LISTED = 6;
const FAINTEST = 0.05;
const FULL = 0.4; // log-odds: a text whose strongest word is weaker than this has no mark of full strength

/**
 * The tokens of an explanation as marks of a text: { start, end, label, strength 0 … 1, for, contribution, word }.
 *
 * The service counts code points, JavaScript UTF-16 units: an emoji is one of the former and two of the latter. With two
 * labels a word against one is a word for the other; with more, `label` is null for words against.
 */
export function marksOf(text, explanation, labels) {
  const strongest = Math.max(FULL, ...explanation.tokens.map((token) => Math.abs(token.contribution)));
  const marks = [];
  let point = 0, unit = 0;
  const unitOf = (wanted) => {
    for (; point < wanted && unit < text.length; point++) unit += text.codePointAt(unit) > 0xffff ? 2 : 1;
    return unit;
  };
  for (const { start, end, contribution } of [...explanation.tokens].sort((a, b) => a.start - b.start)) {
    const from = unitOf(start), to = unitOf(end);
    const other = labels.length === 2 ? labels.find((label) => label !== explanation.label) : null;
    marks.push({
      start: from, end: to, contribution, word: text.slice(from, to),
      label: contribution >= 0 ? explanation.label : other,
      strength: Math.abs(contribution) / strongest,
    });
  }
  return marks;
}

/** The marks of a text that has been edited since: those of the parts that are still the same, moved along. */
export function moved(marks, before, after) {
  if (before === after) return marks;
  const shorter = Math.min(before.length, after.length);
  let head = 0, tail = 0;
  while (head < shorter && before[head] === after[head]) head++;
  while (tail < shorter - head && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail++;
  const by = after.length - before.length, rest = before.length - tail;
  return marks.flatMap((mark) => {
    if (mark.end <= head) return [mark];
    return mark.start >= rest ? [{ ...mark, start: mark.start + by, end: mark.end + by }] : [];
  });
}

/** Lay a text and its marks into an element, unless they are there already. */
export function paint(element, text, marks, labels) {
  let shown = marks.filter((mark) => mark.strength >= FAINTEST);
  if (shown.length > MAX_MARKS) {
    const least = shown.map((mark) => mark.strength).sort((a, b) => b - a)[MAX_MARKS - 1];
    shown = shown.filter((mark) => mark.strength >= least).slice(0, MAX_MARKS);
  }
  const pieces = [];
  let at = 0;
  for (const mark of shown) {
    pieces.push(text.slice(at, mark.start), el("mark", {
      class: isDotted(mark.label, labels) ? "dotted" : "solid",
      style: { "--hue": hueOf(mark.label, labels), "--strength": mark.strength.toFixed(3) },
      "data-says": says(mark),
    }, text.slice(mark.start, mark.end)));
    at = mark.end;
  }
  // A last line that is empty has height only with something on it.
  element.replaceChildren(...pieces, `${text.slice(at)}\u200b`);
}

const says = (mark) => `${signed(mark.contribution)} log-odds${mark.label === null ? "" : ` · for ${mark.label}`}`;
const hueOf = (label, labels) => (label === null ? "var(--quiet)" : hue(label, labels));
const isDotted = (label, labels) => label === null || (labels.length === 2 && label === labels[0]);

/** What the marks mean, how they were found, and the strongest words for each side as lists. */
export function wordLists(marks, explanation, labels, model) {
  const sides = labels.length === 2 ? [...labels].sort((a) => (a === explanation.label ? -1 : 1)) : [explanation.label, null];
  const strongest = strongestWords(marks);
  const most = Math.max(FULL, ...strongest.map((word) => Math.abs(word.contribution)));
  const lists = sides.map((label) => {
    const title = label === null ? `Words against ${explanation.label}` : `Words for ${label}`;
    const words = strongest.filter((word) => word.label === label).slice(0, MAX_LISTED);
    const items = words.map((word) => el("li", {},
      el("span", { class: "word" }, word.word, word.times > 1 ? el("small", {}, ` × ${word.times}`) : null),
      el("span", { class: "weight", style: { width: `${(100 * Math.abs(word.contribution)) / most}%` } }),
      el("span", { class: "number" }, signed(Math.abs(word.contribution)))));
    return el("div", { style: { "--hue": hueOf(label, labels) } },
      el("h3", {}, el("span", { class: `swatch ${isDotted(label, labels) ? "dotted" : "solid"}`, "aria-hidden": "true" }, "word"), title),
      items.length ? el("ol", {}, items) : el("p", { class: "note" }, "None."));
  });
  return [el("div", { class: "pair" }, lists), el("p", { class: "note" }, method(explanation, model))];
}

function strongestWords(marks) {
  const words = new Map();
  for (const mark of marks) {
    const key = mark.word.toLowerCase();
    const word = words.get(key) ?? { word: shortened(mark.word), contributions: new Map(), contribution: 0, times: 0 };
    word.contribution += mark.contribution;
    word.times++;
    word.contributions.set(Math.sign(mark.contribution), mark.label);
    words.set(key, word);
  }
  return [...words.values()]
    .map((word) => ({ ...word, label: word.contributions.get(Math.sign(word.contribution)) }))
    .filter((word) => Math.abs(word.contribution) >= 0.005)
    .sort((a, b) => Math.abs(b.contribution) - Math.abs(a.contribution));
}

const shortened = (word) => (word.length > 60 ? `${word.slice(0, 57).trimEnd()} …` : word);

function method({ method: name, rest, log_odds: total, label }, model) {
  const doubles = "0.69 doubles the odds. The stronger the mark, the larger the contribution.";
  if (name === "exact") {
    return `Exact contributions in log-odds: from ${signed(rest)} before any word, all words together give ${signed(total)} for ${label}. ${doubles}`;
  }
  const how = name === "occlusion" ? `what changes for ${model} when a word is left out` : "integrated gradients";
  return `Estimated contributions in log-odds: ${how}. ${doubles}`;
}
