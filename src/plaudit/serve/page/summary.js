// The summary of a scored file: counts, a histogram, the most and least confident rows, and accuracy.

import { bar, el, hue, svg } from "./draw.js";
import { count, counted, listed, percent, shareOf } from "./figures.js";
import { NONE, reasonOf } from "./scoring.js";

const NUM_BINS = 20;
const NUM_ROWS = 3;
const NEGATIVE = ["negative", "neg", "bad", "0", "-1"], POSITIVE = ["positive", "pos", "good", "1", "+1"];

/** All of the summary as elements, first how many rows have a verdict; `onLook(text)` is what a click on a row's text does. */
export function summarize({ table, scores, column, labelColumn, model, limits, seconds, onLook }) {
  const { labels, predicted, reasons } = scores;
  const counts = labels.map(() => 0), without = new Map();
  for (let row = 0; row < predicted.length; row++) {
    if (reasons[row] === NONE) counts[predicted[row]]++;
    else without.set(reasons[row], (without.get(reasons[row]) ?? 0) + 1);
  }
  const judged = counts.reduce((sum, one) => sum + one, 0);
  const why = [...without].map(([reason, number]) => `${count(number)} ${reasonOf(reason, limits)}`);
  const left = predicted.length - judged;
  const told = el("div", {},
    el("p", { class: "outcome" }, el("b", {}, `${count(judged)} of ${counted(predicted.length, "row")}`), ` scored by ${model}`,
      seconds >= 1 ? `, ${count(judged / seconds)} rows/s.` : "."),
    left ? el("p", { class: "left" }, `${counted(left, "row")} without a verdict: ${listed(why)}. ${left === 1 ? "It stays" : "They stay"} in the file.`) : null);
  if (!judged) return [told];
  const right = labelColumn < 0 ? null : accuracy(table, scores, labelColumn);
  return [
    told,
    el("div", { class: "charts" }, countsChart(labels, counts, judged), histogram(scores), right),
    rowsTable({ table, scores, column, onLook }),
  ];
}

function countsChart(labels, counts, judged) {
  const most = Math.max(...counts);
  return el("figure", {},
    el("figcaption", {}, "Verdicts"),
    el("ul", { class: "counts" }, labels.map((label, i) => el("li", { style: { "--hue": hue(label, labels) } },
      el("span", { class: "name" }, label),
      el("span", { class: "track", "aria-hidden": "true" }, el("span", { style: { width: `${(100 * counts[i]) / most}%` } })),
      el("span", { class: "number" }, el("b", {}, count(counts[i])), ` ${shareOf(counts[i], judged)}`)))));
}

// With two labels, of the second one's probability; with more, of the most probable one's.
function histogram(scores) {
  const { labels, predicted, reasons } = scores;
  const two = labels.length === 2;
  const share = (row) => scores.probability(row, two ? 1 : predicted[row]);
  const bins = new Array(NUM_BINS).fill(0);
  for (let row = 0; row < predicted.length; row++) {
    if (reasons[row] === NONE) bins[Math.min(NUM_BINS - 1, Math.floor(share(row) * NUM_BINS))]++;
  }
  const width = 400, height = 190, top = 14, base = 160, step = width / NUM_BINS, most = Math.max(...bins);
  const of = two ? `Probability of ${labels[1]}` : "Probability of the verdict";
  const bars = bins.map((number, i) => {
    const tall = number ? Math.max(1.5, ((base - top) * number) / most) : 0;
    const colour = two ? hue(labels[i < NUM_BINS / 2 ? 0 : 1], labels) : "var(--accent)";
    const says = `${5 * i}–${5 * (i + 1)} %: ${counted(number, "row")}`;
    return svg("rect", { x: i * step + 1, y: base - tall, width: step - 2, height: tall, rx: 1.5, style: { fill: colour }, "data-says": says }, svg("title", {}, says));
  });
  const ticks = [0, 25, 50, 75, 100].map((at) => svg("text", {
    x: (width * at) / 100, y: base + 18, "text-anchor": at === 0 ? "start" : at === 100 ? "end" : "middle",
  }, `${at} %`));
  const unsure = bins.slice(NUM_BINS * 0.3, NUM_BINS * 0.7).reduce((sum, one) => sum + one, 0);
  const said = `${of} in 20 bins. ${counted(unsure, "row")} between 30 and 70 percent; fullest bin: ${count(most)}.`;
  return el("figure", {},
    el("figcaption", {}, of),
    svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "histogram", role: "img", "aria-label": said },
      svg("line", { x1: 0, x2: width, y1: base + 0.5, y2: base + 0.5 }), bars, ticks,
      svg("text", { x: 0, y: 10 }, `${counted(most, "row")} in the fullest bin`)));
}

/** Which place among the labels each value of a column stands for, as `plaudit` reads your own files; -1: none. */
export function placesOf(labels) {
  const folded = labels.map((label) => label.toLowerCase());
  const places = new Map(folded.map((label, i) => [label, i]));
  if (labels.length === 2 && NEGATIVE.includes(folded[0]) && POSITIVE.includes(folded[1])) {
    NEGATIVE.forEach((value) => places.set(value, 0));
    POSITIVE.forEach((value) => places.set(value, 1));
  }
  return (value) => places.get((value ?? "").trim().toLowerCase()) ?? -1;
}

function accuracy(table, { labels, predicted, reasons }, column) {
  const place = placesOf(labels);
  const name = table.columns[column];
  const confusion = labels.map(() => labels.map(() => 0));
  let judged = 0, right = 0, stray = null;
  for (let row = 0; row < predicted.length; row++) {
    const given = table.rows[row][column] ?? "";
    const truth = place(given);
    if (truth < 0) { if (given.trim()) stray ??= given.trim(); continue; }
    if (reasons[row] !== NONE) continue;
    judged++;
    confusion[truth][predicted[row]]++;
    if (truth === predicted[row]) right++;
  }
  if (!judged) {
    return el("figure", {}, el("figcaption", {}, "Accuracy"), el("p", { class: "note" },
      stray === null ? `Column “${name}” holds no labels.` : `Column “${name}” holds “${stray.slice(0, 30)}”, which is not ${listed(labels, "or")}.`));
  }
  const [low, high] = wilson(right, judged);
  const head = el("tr", {}, el("th", { scope: "col" }, name), labels.map((label) => el("th", { scope: "col", class: "number" }, label)));
  const body = labels.map((label, i) => el("tr", {}, el("th", { scope: "row" }, label),
    confusion[i].map((number, j) => el("td", { class: i === j ? "number right" : "number" }, count(number)))));
  return el("figure", { class: "accuracy" },
    el("figcaption", {}, `Accuracy against column “${name}”`),
    el("p", { class: "figure" }, `${((100 * right) / judged).toFixed(2)} %`),
    el("p", { class: "note" }, `of ${counted(judged, "row")}; 95 % interval ${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}`, stray === null ? "" : `. Values such as “${stray.slice(0, 30)}” are left out`),
    el("div", { class: "scroll" }, el("table", {}, el("caption", {}, "Rows: as labelled; columns: the verdict"), el("thead", {}, head), el("tbody", {}, body))));
}

// Wilson (1927): an interval that holds for shares near 0 and 1, too.
function wilson(right, number, z = 1.96) {
  const share = right / number, turn = (z * z) / number;
  const middle = share + turn / 2, half = z * Math.sqrt((share * (1 - share)) / number + turn / (4 * number));
  return [(middle - half) / (1 + turn), (middle + half) / (1 + turn)];
}

function rowsTable({ table, scores, column, onLook }) {
  const { labels, predicted, reasons } = scores;
  const sure = (row) => scores.probability(row, predicted[row]);
  const rows = [];
  for (let row = 0; row < predicted.length; row++) if (reasons[row] === NONE) rows.push(row);
  const groups = labels.map((label, i) => [`Most confident: ${label}`, extremes(rows.filter((row) => predicted[row] === i), (row) => -sure(row))]);
  groups.push(["Least confident", extremes(rows, sure, 2 * NUM_ROWS)]);
  const shown = groups.filter(([, chosen]) => chosen.length);
  return el("div", { class: "scroll" }, el("table", { class: "rows" },
    el("caption", {}, "Rows worth a look; click a text to see its words marked above"),
    el("thead", {}, el("tr", {}, ["Row", "Text", "Verdict"].map((name) => el("th", { scope: "col", class: name === "Row" ? "number" : null }, name)))),
    shown.map(([title, chosen]) => el("tbody", {},
      el("tr", { class: "group" }, el("th", { colspan: 3, scope: "rowgroup" }, title)),
      chosen.map((row) => {
        const text = table.rows[row][column];
        const probabilities = Object.fromEntries(labels.map((label, i) => [label, scores.probability(row, i)]));
        return el("tr", {},
          el("td", { class: "number" }, count(row + 1)),
          el("td", {}, el("button", { type: "button", class: "look", click: () => onLook(text) }, excerpt(text))),
          el("td", {}, labels[predicted[row]], " ", percent(sure(row)), bar(probabilities, { small: true })));
      })))));
}

function extremes(rows, key, number = NUM_ROWS) {
  const kept = [];
  for (const row of rows) {
    const of = key(row);
    if (kept.length === number && of >= kept.at(-1)[0]) continue;
    const at = kept.findIndex(([other]) => other > of);
    kept.splice(at < 0 ? kept.length : at, 0, [of, row]);
    kept.length = Math.min(kept.length, number);
  }
  return kept.map(([, row]) => row);
}

const excerpt = (text) => {
  const line = text.slice(0, 400).replace(/<br\s*\/?>/gi, " ").replace(/\s+/g, " ").trim();
  const points = [...line];
  return points.length > 110 ? `${points.slice(0, 108).join("").trimEnd()} …` : line;
};
