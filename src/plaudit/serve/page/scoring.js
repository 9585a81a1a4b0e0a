// Scores the rows of a table in batches, two at a time; a row without a verdict has a reason.

import { pause, patient, ServiceError } from "./api.js";
import { characters, count, whole } from "./figures.js";
import { breath, csvRow } from "./table.js";

const LANES = 2;
const FIRST_BATCH = 32;
const BATCH_MS = 500; // what a batch should take: long enough to be efficient, short enough to show progress
const BODY_BYTES = 1 << 20; // at most, so that a slow connection delivers it in time
const NUM_TRIES = 4;

export const NONE = 0, EMPTY = 1, LONG = 2, LARGE = 3, REFUSED = 4, UNREACHED = 5, ABSTAINED = 6;

/** Why a row has no verdict, in words. */
export const reasonOf = (reason, limits) => ({
  [EMPTY]: "without text",
  [LONG]: `longer than ${count(limits.max_characters)} characters`,
  [LARGE]: "too large for one request",
  [REFUSED]: "rejected by the service",
  [UNREACHED]: "not reached",
  [ABSTAINED]: "on which the model abstains",
})[reason];

/** Verdicts of all rows: `predicted` holds places in `labels`, -1 where there is no verdict. */
export class Scores {
  constructor(numRows, labels) {
    this.labels = labels;
    this.predicted = new Int16Array(numRows).fill(-1);
    this.reasons = new Uint8Array(numRows).fill(UNREACHED);
    this.probabilities = new Float64Array(numRows * labels.length).fill(NaN);
  }

  take(row, { label, probabilities }) {
    const { labels } = this;
    labels.forEach((name, i) => { this.probabilities[row * labels.length + i] = probabilities[name]; });
    this.predicted[row] = label === null ? -1 : labels.indexOf(label);
    this.reasons[row] = label === null ? ABSTAINED : NONE;
  }

  isScored(row) { return this.reasons[row] === NONE || this.reasons[row] === ABSTAINED; }

  /** The probability of a label, by its place, for a row; NaN where there is none. */
  probability(row, label) { return this.probabilities[row * this.labels.length + label]; }
}

/**
 * Score the rows of a table. Resolves when all rows are through; rejects on an abort or on what trying again cannot help, and
 * what `scores` has got until then stays. `onProgress(rows done)`, `onBusy(seconds)`.
 */
export async function score(scores, { rows, column, model, limits, signal, onProgress, onBusy }) {
  const encoder = new TextEncoder();
  const head = `{"model":${JSON.stringify(model)},"texts":[`;
  const room = Math.min(limits.max_body_bytes, BODY_BYTES) - encoder.encode(head).length - 2;
  const largest = limits.max_body_bytes - encoder.encode(head).length - 2;
  let next = 0, done = 0, size = Math.min(FIRST_BATCH, limits.max_texts);
  const stop = new AbortController(); // one lane that fails ends the other
  const ends = AbortSignal.any([signal, stop.signal]);

  const skip = (row, reason) => { scores.reasons[row] = reason; done++; };

  function nextBatch() {
    const batch = [];
    let bytes = 0;
    while (next < rows.length && batch.length < size) {
      const text = rows[next][column] ?? "";
      if (!text.trim()) { skip(next++, EMPTY); continue; }
      if (text.length > limits.max_characters && characters(text) > limits.max_characters) { skip(next++, LONG); continue; }
      const json = JSON.stringify(whole(text));
      const needed = encoder.encode(json).length + 1;
      if (needed > largest) { skip(next++, LARGE); continue; }
      if (batch.length && bytes + needed > room) break;
      bytes += needed;
      batch.push({ row: next++, json });
    }
    return batch;
  }

  async function send(batch, tries = 1) {
    const body = `${head}${batch.map((item) => item.json).join(",")}]}`;
    const started = performance.now();
    try {
      const answer = await patient("v1/predict", { body, signal: ends, seconds: 120, onBusy });
      if (answer.predictions?.length !== batch.length) throw new ServiceError("The service answered with the wrong number of verdicts.", { status: 502 });
      batch.forEach(({ row }, i) => scores.take(row, answer.predictions[i]));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      if (error.status >= 500 && tries < NUM_TRIES) {
        await pause(500 * 2 ** tries, ends);
        return send(batch, tries + 1);
      }
      if (![400, 408, 413, 422].includes(error.status)) throw error;
      // One text may make a whole batch fail, or the batch may be too large for a slow connection: try halves.
      if (batch.length > 1) {
        size = Math.max(1, size >> 1);
        await send(batch.slice(0, batch.length >> 1));
        return send(batch.slice(batch.length >> 1));
      }
      skip(batch[0].row, REFUSED);
      return undefined;
    }
    done += batch.length;
    const ms = performance.now() - started;
    if (ms < BATCH_MS / 2 && batch.length >= size) size = Math.min(2 * size, limits.max_texts);
    else if (ms > 2 * BATCH_MS) size = Math.max(8, size >> 1);
    return undefined;
  }

  async function lane() {
    for (;;) {
      ends.throwIfAborted();
      const batch = nextBatch();
      if (!batch.length) break;
      await send(batch);
      onProgress(done);
      await breath();
    }
    onProgress(done);
  }

  const lanes = Array.from({ length: LANES }, () => lane().catch((error) => { stop.abort(error); throw error; }));
  const failed = (await Promise.allSettled(lanes)).find((lane) => lane.status === "rejected");
  signal.throwIfAborted();
  if (failed) throw stop.signal.reason;
}

/** The table as CSV with the verdicts as further columns, as a Blob. */
export async function scoredCsv(table, scores) {
  const delimiter = table.delimiter === ";" ? ";" : ",";
  const { labels } = scores;
  const width = table.columns.length;
  const parts = [table.bom ? "\ufeff" : "", csvRow([...table.columns, ...addedColumns(labels)], delimiter)];
  let piece = [];
  for (let row = 0; row < table.rows.length; row++) {
    const cells = Array.from({ length: width }, (_, i) => table.rows[row][i] ?? "");
    cells.push(scores.predicted[row] < 0 ? "" : labels[scores.predicted[row]]);
    labels.forEach((_, i) => cells.push(scores.isScored(row) ? String(scores.probability(row, i)) : ""));
    piece.push(csvRow(cells, delimiter));
    if (piece.length === 500) {
      parts.push(new Blob([piece.join("")])); // as bytes at once: turning all of them in the end would freeze the page
      piece = [];
      await breath();
    }
  }
  parts.push(piece.join(""));
  return new Blob(parts, { type: "text/csv;charset=utf-8" });
}

export const addedColumns = (labels) => ["predicted", ...labels.map((label) => `probability_${label}`)];
