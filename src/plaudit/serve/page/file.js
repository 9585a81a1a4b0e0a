// Scoring a whole file: choose it, preview it, score it, download it.

import { el } from "./draw.js";
import { count, counted, duration, megabytes } from "./figures.js";
import { addedColumns, scoredCsv, score, Scores } from "./scoring.js";
import { summarize } from "./summary.js";
import { FileError, readTable } from "./table.js";

const TEXT_NAMES = "text review review_text review_body sentence comment content body tweet message document".split(" ");
const LABEL_NAMES = "label labels sentiment class category target polarity rating stars score".split(" ");
const NUM_PREVIEWED = 5;

const $ = (id) => document.getElementById(id);

let service = null;
let table = null;
let chosen = null; // { column, labelColumn, model }
let work = new AbortController(); // what reads or scores now
let onLook = () => {};

/** Start: `look(text)` is called when somebody wants to see a row's text above. */
export function startFiles(look) {
  onLook = look;
  const drop = $("drop"), picked = $("picked");
  $("choose").addEventListener("click", () => picked.click());
  picked.addEventListener("change", () => {
    if (picked.files.length) open(picked.files[0]);
    picked.value = ""; // so that the same file can be chosen again
  });
  let depth = 0; // dragenter and dragleave come for children, too
  drop.addEventListener("dragenter", () => { depth++; drop.classList.add("over"); });
  drop.addEventListener("dragleave", () => { if (--depth <= 0) { depth = 0; drop.classList.remove("over"); } });
  // A file that misses the box must not replace the page.
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    drop.classList.remove("over");
    if (event.dataTransfer?.files.length) open(event.dataTransfer.files[0]);
  });
}

/** Take what the service serves, at the start and whenever it may have changed. */
export function serveFiles(given) {
  service = given;
  if (table && !$("run").querySelector("progress")) showTable();
}

async function open(file) {
  work.abort();
  work = new AbortController();
  const { signal } = work;
  table = chosen = null;
  for (const id of ["opened", "run", "summary"]) $(id).replaceChildren();
  $("file-error").textContent = "";
  const told = el("p", { class: "note" }, `Reading ${file.name} …`);
  const progress = el("progress", { max: file.size || 1, value: 0, "aria-label": `Reading ${file.name}` });
  const soon = setTimeout(() => $("opened").replaceChildren(told, progress), 200);
  try {
    const read = await readTable(file, {
      signal,
      onProgress: (bytes, rows) => {
        progress.value = bytes;
        told.textContent = `Reading ${file.name} … ${counted(rows, "row")}`;
      },
    });
    if (signal.aborted) return;
    table = read;
  } catch (error) {
    if (signal.aborted) return;
    $("opened").replaceChildren();
    $("file-error").textContent = error instanceof FileError ? error.message : `${file.name} cannot be read (${error.message}).`;
    return;
  } finally {
    clearTimeout(soon);
  }
  table.size = file.size;
  const names = table.columns.map((name) => name.trim().toLowerCase());
  const usual = (wanted) => wanted.map((name) => names.indexOf(name)).find((place) => place >= 0) ?? -1;
  const column = usual(TEXT_NAMES);
  const labelColumn = usual(LABEL_NAMES);
  chosen = { column: column < 0 ? longest(table) : column, guessed: column < 0, labelColumn, model: null };
  showTable();
  $("spoken-file").textContent = `${file.name}: ${counted(table.rows.length, "row")}, ${counted(table.columns.length, "column")}.`;
  $("start").focus({ preventScroll: true });
}

/** The column with the longest cells in the first rows: likely the texts, if no name says so. */
function longest({ columns, rows }) {
  const lengths = columns.map((_, i) => rows.slice(0, 50).reduce((sum, row) => sum + (row[i] ?? "").length, 0));
  return lengths.indexOf(Math.max(...lengths));
}

function picker(id, title, options, value, change) {
  return el("div", { class: "field" }, el("label", { for: id }, title),
    el("select", { id, change: (event) => change(event.target.value) },
      options.map(([of, name]) => el("option", { value: of, selected: String(of) === String(value) }, name))));
}

function showTable() {
  const { columns, rows } = table;
  const models = service?.models ?? [];
  if (!models.some((model) => model.name === chosen.model)) chosen.model = service?.default ?? null;
  const named = columns.map((name, i) => [i, name || `(column ${i + 1})`]);
  const facts = [counted(rows.length, "row"), counted(columns.length, "column"), megabytes(table.size)];
  if (table.numBlank) facts.push(`${counted(table.numBlank, "empty line")} left out`);
  $("opened").replaceChildren(
    el("div", { class: "opened" },
      el("p", { class: "name" }, el("b", {}, table.name), " ", el("span", { class: "note" }, facts.join(" · "))),
      el("div", { class: "fields" },
        picker("text-column", "Text column", named, chosen.column, (value) => { chosen.column = Number(value); chosen.guessed = false; showPreview(); }),
        picker("label-column", "Label column, for accuracy", [[-1, "none"], ...named], chosen.labelColumn, (value) => { chosen.labelColumn = Number(value); }),
        picker("file-model", "Model", models.map((model) => [model.name, model.name]), chosen.model, (value) => { chosen.model = value; })),
      el("div", { id: "preview" }),
      el("p", { class: "actions" }, el("button", { type: "button", id: "start", class: "main", click: run, disabled: !service }, `Score ${counted(rows.length, "row")}`))));
  showPreview();
}

function showPreview() {
  const { columns, rows } = table;
  const short = (cell) => (cell.length > 140 ? `${cell.slice(0, 138)} …` : cell);
  $("preview").replaceChildren(
    chosen.guessed ? el("p", { class: "note" }, `No column has a usual name for texts; “${columns[chosen.column]}” has the longest cells. Choose another if it is the wrong one.`) : "",
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The first rows" }, el("table", {},
      el("caption", {}, `The first ${counted(Math.min(NUM_PREVIEWED, rows.length), "row")}`),
      el("thead", {}, el("tr", {}, columns.map((name, i) => el("th", { scope: "col", class: i === chosen.column ? "chosen" : null }, name)))),
      el("tbody", {}, rows.slice(0, NUM_PREVIEWED).map((row) => el("tr", {},
        columns.map((_, i) => el("td", { class: i === chosen.column ? "chosen" : null }, short(row[i] ?? "")))))))));
}

async function run() {
  const { columns, rows } = table;
  const model = service.models.find((one) => one.name === chosen.model);
  const { limits } = service;
  const taken = addedColumns(model.labels).find((name) => columns.includes(name));
  $("summary").replaceChildren();
  $("file-error").textContent = "";
  if (taken) {
    $("file-error").textContent = `${table.name} has a column “${taken}” already; rename it, because predictions get this name.`;
    return;
  }
  work = new AbortController();
  const { signal } = work;
  const given = { ...chosen, table };
  const scores = new Scores(rows.length, model.labels);
  const progress = el("progress", { max: rows.length, value: 0, "aria-labelledby": "run-title" });
  const told = el("p", { class: "told" }, "Starting …");
  const cancel = el("button", { type: "button", id: "cancel", click: () => work.abort() }, "Cancel");
  $("run").replaceChildren(el("p", { id: "run-title" }, `${model.name} reads ${table.name}`), progress, el("div", { class: "row" }, told, cancel));
  lock(true);
  cancel.focus({ preventScroll: true });
  $("spoken-file").textContent = `Scoring ${counted(rows.length, "row")}.`;
  const started = performance.now();
  let busyUntil = 0, quarter = 0, drawn = 0;
  const onProgress = (done) => {
    const now = performance.now();
    progress.value = done;
    if (done < rows.length && now - drawn < 150) return;
    drawn = now;
    const seconds = (now - started) / 1000;
    if (now > busyUntil) {
      const left = ((rows.length - done) * seconds) / done;
      told.textContent = `${count(done)} of ${counted(rows.length, "row")} · ${count(done / seconds)} rows/s · ${seconds < 1 ? "…" : `${duration(left)} left`}`;
    }
    if (Math.floor((4 * done) / rows.length) > quarter && seconds > 4) {
      quarter = Math.floor((4 * done) / rows.length);
      $("spoken-file").textContent = `${25 * quarter} percent.`;
    }
  };
  const onBusy = (seconds) => {
    busyUntil = performance.now() + seconds * 1000;
    told.textContent = `The service is busy; continuing in ${seconds} s …`;
  };
  let cut = "";
  try {
    await score(scores, { rows, column: given.column, model: model.name, limits, signal, onProgress, onBusy });
  } catch (error) {
    cut = signal.aborted ? "Cancelled." : error.message;
  }
  if (given.table !== table) return; // another file was opened meanwhile
  const seconds = (performance.now() - started) / 1000;
  $("run").replaceChildren();
  lock(false);
  showResult({ ...given, scores, model: model.name, limits, seconds, cut });
}

function lock(busy) {
  for (const control of $("opened").querySelectorAll("select, button")) control.disabled = busy;
}

function showResult({ table: of, scores, cut, ...about }) {
  const name = `${of.stem}.scored.csv`;
  const download = el("button", { type: "button", id: "download", class: "main", click: async () => {
    download.disabled = true;
    const url = URL.createObjectURL(await scoredCsv(of, scores));
    el("a", { href: url, download: name }).click();
    download.disabled = false;
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  } }, `Download ${name}`);
  const parts = summarize({ table: of, scores, onLook, ...about });
  const added = addedColumns(scores.labels);
  $("summary").replaceChildren(
    el("h3", {}, "Results"),
    cut ? el("p", { class: "error" }, cut) : "",
    parts[0],
    el("p", { class: "actions" }, download, " ", el("span", { class: "note" }, `All your rows and columns, plus ${added.join(", ")}.`)),
    ...parts.slice(1));
  $("spoken-file").textContent = `${cut} ${parts[0].textContent} The scored file is ready.`;
  download.focus({ preventScroll: true });
}
