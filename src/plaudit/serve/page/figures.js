// Formats numbers and lists, and counts characters as the service does.

const NBSP = "\u00a0";

export const count = (number) => Math.round(number).toLocaleString("en");

export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** A probability in percent, never rounded up to a certainty that no model has. */
export function percent(probability) {
  if (probability > 0.999) return `> 99.9${NBSP}%`;
  return probability < 0.001 ? `< 0.1${NBSP}%` : shareOf(probability, 1);
}

/** A part of a whole in percent. */
export const shareOf = (part, whole) => `${((100 * part) / whole).toFixed(1)}${NBSP}%`;

export function megabytes(bytes) {
  if (bytes < 1e6) return bytes < 1e3 ? counted(bytes, "byte") : `${(bytes / 1e3).toFixed(bytes < 1e4 ? 1 : 0)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0)} MB` : `${(bytes / 1e9).toFixed(2)} GB`;
}

export function milliseconds(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  return `${value.toFixed(value < 1 ? 2 : value < 10 ? 1 : 0)} ms`;
}

export function duration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;

export function listed(names, last = "and") {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} ${last} ${names.at(-1)}`;
}

/** Code points of a text, which is how the service counts characters. */
export function characters(text) {
  let pairs = 0;
  for (let i = 0; i < text.length - 1; i++) {
    if ((text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) { pairs++; i++; }
  }
  return text.length - pairs;
}

/** A text that JSON can carry: half of a surrogate pair, as there is while one is being typed, is replaced. */
export function whole(text) {
  return text.toWellFormed ? text.toWellFormed() : text.replace(/\p{Surrogate}/gu, "\ufffd");
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
