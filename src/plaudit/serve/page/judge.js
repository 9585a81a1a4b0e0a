// The verdict, the marked words and the comparison of models for the text in the review box, updated while typing.

import { events, pause, patient, ServiceError } from "./api.js";
import { bar, el, hue, moveBar } from "./draw.js";
import { characters, count, listed, megabytes, median, milliseconds, percent, whole } from "./figures.js";
import { marksOf, moved, paint, wordLists } from "./marks.js";

const PAUSE_MS = 130; // after the last key
const AT_MOST_MS = 400; // while keys keep coming
const SPEAK_MS = 1200;
const NUM_LATENCIES = 15;
const SLOW_MS = 60; // explanations that take longer wait until somebody pauses
const KINDS = { bow: "bag of n-grams", lstm: "LSTM", transformer: "transformer", ensemble: "ensemble" };

const $ = (id) => document.getElementById(id);
const review = $("review"), marked = $("marked");

let service = null;
let shown = null; // name of the model whose prediction is shown above
let verdicts = new Map(); // by model, on the text of `judged`
let explained = null; // { text, marks, labels }
let explainMs = 0;
let latencies = new Map();
let asking = new AbortController();
let timer = 0, since = 0;
let onText = () => {};

/** Start: `changed` is called with the text and the name of the shown model whenever one of them changes. */
export function startJudging(changed) {
  onText = changed;
  review.addEventListener("input", edited);
  $("clear").addEventListener("click", () => { setReview(""); review.focus(); });
  edited();
}

/** Take what the service serves, at the start and whenever it may have changed. */
export function serveJudging(given) {
  service = given;
  const names = service.models.map((model) => model.name);
  if (!names.includes(shown)) shown = service.default;
  latencies = new Map(names.map((name) => [name, latencies.get(name) ?? []]));
  buildCards();
  edited();
}

export function setReview(text) {
  review.value = text;
  edited();
}

const modelOf = (name) => service.models.find((model) => model.name === name);

function edited() {
  const text = review.value;
  $("clear").hidden = text === "";
  onText(text, shown);
  paintMarks();
  const length = characters(text);
  const limit = service?.limits.max_characters;
  $("length").textContent = limit ? `${count(length)} of ${count(limit)} characters` : `${count(length)} characters`;
  $("length").classList.toggle("over", length > limit);
  if (!service) { showVerdict(); return; }
  clearTimeout(timer);
  if (!text.trim() || length > limit) {
    asking.abort();
    since = 0;
    clearVerdicts(text.trim() ? `This is longer than the service's limit of ${count(limit)} characters.` : "");
    return;
  }
  since ||= performance.now();
  const wait = Math.max(0, Math.min(PAUSE_MS, since + AT_MOST_MS - performance.now()));
  timer = setTimeout(ask, wait);
}

function clearVerdicts(why) {
  verdicts = new Map();
  explained = null;
  paintMarks();
  $("words").hidden = true;
  $("verdict").classList.remove("waiting");
  showVerdict(why);
  showCards();
}

async function ask() {
  since = 0;
  // Answers to an older text are dropped: their signal is aborted.
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const text = whole(review.value);
  const waiting = setTimeout(() => $("verdict").classList.add("waiting"), 300);
  const arrived = () => { clearTimeout(waiting); $("verdict").classList.remove("waiting"); };
  signal.addEventListener("abort", () => clearTimeout(waiting));
  // One after the other, the quickest first, so that no model's time on the server is another one's, too.
  const speed = (name) => (latencies.get(name).length ? median(latencies.get(name)) : name === shown ? 0 : Infinity);
  const names = service.models.map((model) => model.name).sort((a, b) => speed(a) - speed(b) || 0);
  try {
    for (const name of names) await askOne(name, text, signal, arrived);
    if (verdicts.has(shown)) await explain(shown, text, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function askOne(name, text, signal, arrived) {
  try {
    const answer = await patient("v1/predict", { body: { texts: [text], model: name }, signal });
    if (signal.aborted) return;
    verdicts.set(name, answer.predictions[0]);
    latencies.set(name, [...latencies.get(name), answer.latency_ms].slice(-NUM_LATENCIES));
    showCards();
    if (name !== shown) return;
    arrived();
    showVerdict();
  } catch (error) {
    if (signal.aborted || !(error instanceof ServiceError)) throw error;
    failed(name, error, arrived);
  }
}

function failed(name, error, arrived) {
  if (error.status === 404) events.dispatchEvent(new CustomEvent("stale"));
  verdicts.delete(name);
  showCards();
  if (name !== shown) return;
  arrived();
  clearVerdicts(error.message);
}

async function explain(name, text, signal) {
  const limit = service.limits.max_explained_characters;
  if (characters(text) > limit) {
    showWords(null, [el("p", { class: "note" }, `Words are marked in texts of up to ${count(limit)} characters.`)]);
    return;
  }
  if (explainMs > SLOW_MS) await pause(350, signal);
  const started = performance.now();
  try {
    // An explanation is a luxury: one that a busy service refuses is asked for again, without a word about it.
    const body = { texts: [text], model: name, explain: true };
    const { predictions: [{ explanation }] } = await patient("v1/predict", { body, signal, onBusy: () => {} });
    if (signal.aborted || !explanation) return;
    explainMs = performance.now() - started;
    const { labels } = modelOf(name);
    const marks = marksOf(text, explanation, labels);
    showWords({ text, marks, labels }, wordLists(marks, explanation, labels, name));
  } catch (error) {
    if (signal.aborted || !(error instanceof ServiceError)) throw error;
    showWords(null, [el("p", { class: "note" }, `The words cannot be explained: ${error.message}`)]);
  }
}

/** Mark the words of an explained text, which may have been edited since, and list the strongest below. */
function showWords(given, told) {
  explained = given;
  paintMarks();
  $("words").hidden = false;
  $("words").replaceChildren(el("h3", { class: "spoken" }, "Strongest words"), ...told);
}

function paintMarks() {
  const marks = explained ? moved(explained.marks, explained.text, review.value) : [];
  paint(marked, review.value, marks, explained?.labels ?? []);
}

function showVerdict(why = "") {
  const panel = $("verdict");
  const verdict = verdicts.get(shown);
  if (!verdict) {
    panel.className = "verdict empty";
    panel.replaceChildren(el("p", { class: why ? "error" : "hint" }, why || "The verdict appears here as soon as you type a word."));
    speak(why);
    return;
  }
  const { label, probabilities } = verdict;
  const surest = Math.max(...Object.values(probabilities));
  let strong = panel.querySelector(".label strong");
  if (!strong || !moveBar(panel.querySelector(".bar"), probabilities)) {
    panel.className = "verdict";
    strong = el("strong");
    panel.replaceChildren(el("p", { class: "by" }), el("p", { class: "label" }, strong, " ", el("span", { class: "share" })), el("p", { class: "margin" }), bar(probabilities));
  }
  panel.style.setProperty("--hue", label === null ? "var(--quiet)" : hue(label, Object.keys(probabilities)));
  panel.querySelector(".by").textContent = `${shown} says`;
  strong.textContent = label ?? "no verdict";
  panel.querySelector(".share").textContent = label === null ? "" : percent(surest);
  panel.querySelector(".margin").textContent = label === null ? "It abstains because it is not sure enough." : margin(surest, Object.keys(probabilities).length);
  speak(label === null ? `${shown} gives no verdict` : `${label}, ${Math.round(100 * surest)} percent`);
}

function margin(surest, numLabels) {
  const above = (surest - 1 / numLabels) / (1 - 1 / numLabels);
  if (above > 0.9) return "Almost certain.";
  if (above > 0.5) return "Clear.";
  return above > 0.2 ? "Leaning this way." : "A close call.";
}

let speaking = 0;
let spoken = "";
function speak(words) {
  clearTimeout(speaking);
  // Only after a pause: a verdict on each key would drown out what is typed.
  speaking = setTimeout(() => {
    if (words !== spoken) $("spoken-verdict").textContent = words;
    spoken = words;
  }, SPEAK_MS);
}

function buildCards() {
  const alone = service.models.length === 1;
  const facts = (model) => [
    ["Server time", el("span", { class: "latency" }, "–")],
    ["Size", megabytes(model.size_bytes)],
    ["Parameters", count(model.parameters)],
    ["Calibration", model.calibration ?? "none"],
  ];
  $("cards").replaceChildren(...service.models.map((model) => el("article", { class: alone ? "card alone" : "card", "data-model": model.name },
    el("div", { class: "head" },
      el("label", {}, el("input", { type: "radio", name: "shown", value: model.name, hidden: alone, checked: model.name === shown, change: () => choose(model.name) }), el("b", {}, model.name)),
      el("span", { class: "note" }, KINDS[model.kind] ?? model.kind)),
    el("div", { class: "says" }),
    el("dl", {}, facts(model).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))))));
  if (alone) $("cards").removeAttribute("role");
  else $("cards").setAttribute("role", "radiogroup");
  showCards();
}

function choose(name) {
  shown = name;
  explained = null;
  explainMs = 0;
  $("words").hidden = true;
  showVerdict();
  edited();
}

function showCards() {
  if (!service) return;
  for (const card of $("cards").children) {
    const name = card.dataset.model;
    const verdict = verdicts.get(name);
    const says = card.querySelector(".says");
    if (!verdict) says.replaceChildren(el("p", { class: "note" }, "–"));
    else {
      let words = says.querySelector(".words-of");
      if (!words || !moveBar(says.querySelector(".bar"), verdict.probabilities)) {
        words = el("p", { class: "words-of" });
        says.replaceChildren(words, bar(verdict.probabilities, { small: true }));
      }
      words.replaceChildren(...(verdict.label === null
        ? [el("b", {}, "no verdict")]
        : [el("b", {}, verdict.label), " ", percent(Math.max(...Object.values(verdict.probabilities)))]));
    }
    const times = latencies.get(name);
    card.querySelector(".latency").textContent = times.length ? `${milliseconds(median(times))}` : "–";
    card.querySelector(".latency").title = times.length ? `median of the last ${times.length}` : "";
  }
  $("agreement").textContent = agreement();
  $("agreement").classList.toggle("disagree", disagree());
}

const labelsSaid = () => service.models.map((model) => verdicts.get(model.name)).filter(Boolean).map((verdict) => verdict.label ?? "nothing");
const disagree = () => new Set(labelsSaid()).size > 1;

function agreement() {
  const all = service.models.length;
  if (all === 1) return `${service.models[0].name} is the only model of this service.`;
  const said = labelsSaid();
  if (said.length < all) return "All models read the same text. Choose the one whose words are marked.";
  if (!disagree()) return `${all === 2 ? "Both models say" : `All ${all} models say`} ${said[0]}.`;
  return `The models disagree: ${listed(service.models.map((model, i) => `${model.name} says ${said[i]}`))}.`;
}
