// Reads a file into columns and cells of text, and writes rows as CSV.

/** What is wrong with a file, in words. */
export class FileError extends Error {}

const MAX_BYTES = 1 << 29;
const SUFFIXES = { csv: ",", tsv: "\t", jsonl: null, ndjson: null, json: null };

/** Splits delimited text (RFC 4180) that comes in pieces; a quoted cell may hold delimiters, quotes and lines. */
export class Delimited {
  constructor(delimiter, onRow) {
    this.delimiter = delimiter.charCodeAt(0);
    this.onRow = onRow;
    this.row = [];
    this.cell = "";
    this.quoted = false;
    this.state = "start";
  }

  feed(piece) {
    let i = 0;
    while (i < piece.length) {
      if (this.state === "quoted") {
        const quote = piece.indexOf('"', i);
        this.cell += piece.slice(i, quote < 0 ? piece.length : quote);
        if (quote < 0) return;
        this.state = "quote";
        i = quote + 1;
      } else if (this.state === "quote") {
        // A second quote stands for one; anything else ends the quoted part.
        this.state = piece[i] === '"' ? "quoted" : "plain";
        if (this.state === "quoted") { this.cell += '"'; i++; }
      } else if (this.state === "cr") {
        if (piece[i] === "\n") i++;
        this.state = "start";
      } else if (this.state === "start" && piece[i] === '"') {
        this.quoted = true;
        this.state = "quoted";
        i++;
      } else {
        let end = i, code = 0;
        for (; end < piece.length; end++) {
          code = piece.charCodeAt(end);
          if (code === this.delimiter || code === 10 || code === 13) break;
        }
        this.cell += piece.slice(i, end);
        this.state = "plain";
        if (end === piece.length) return;
        this.endCell();
        if (code !== this.delimiter) this.endRow();
        this.state = code === 13 ? "cr" : "start";
        i = end + 1;
      }
    }
  }

  end() {
    if (this.state === "quoted") throw new FileError("A quote is opened but never closed; the file may be incomplete.");
    if (this.row.length || this.cell || this.quoted) { this.endCell(); this.endRow(); }
  }

  endCell() {
    this.row.push(this.cell);
    this.cell = "";
    this.blank = this.row.length === 1 && this.row[0] === "" && !this.quoted;
    this.quoted = false;
  }

  endRow() {
    const { row, blank } = this;
    this.row = [];
    this.onRow(row, blank && row.length === 1);
  }
}

/** Splits JSON lines that come in pieces; a column for each field, in the order in which fields first appear. */
class JsonLines {
  constructor(columns, onRow) {
    this.places = new Map();
    this.columns = columns;
    this.onRow = onRow;
    this.rest = [];
    this.line = 0;
  }

  feed(piece) {
    const lines = piece.split("\n");
    this.rest.push(lines[0]);
    for (let i = 1; i < lines.length; i++) {
      this.take(this.rest.join(""));
      this.rest = [lines[i]];
    }
  }

  end() { this.take(this.rest.join("")); }

  take(line) {
    this.line++;
    if (!line.trim()) return;
    let fields;
    try {
      fields = JSON.parse(line, asWritten);
    } catch {
      throw new FileError(`Line ${this.line} is not JSON; JSON lines have one object per line.`);
    }
    if (typeof fields !== "object" || fields === null || Array.isArray(fields)) {
      throw new FileError(`Line ${this.line} is not a JSON object; write one object per line, such as {"text": "…"}.`);
    }
    const row = [];
    for (const [name, value] of Object.entries(fields)) {
      if (!this.places.has(name)) { this.places.set(name, this.columns.length); this.columns.push(name); }
      row[this.places.get(name)] = asCell(value);
    }
    this.onRow(row, false);
  }
}

// 1.0 stays 1.0 and a long id whole, where the browser can tell how a number was written.
const asWritten = (name, value, context) => (typeof value === "number" && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value);

function asCell(value) {
  if (value === null) return "";
  if (JSON.isRawJSON?.(value)) return value.rawJSON;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/**
 * Read a file: { name, stem, columns, rows, delimiter, bom, numBlank }. FileError says what is wrong with it.
 *
 * `onProgress` is told the bytes read and the rows found; between pieces the page stays alive.
 */
export async function readTable(file, { signal, onProgress }) {
  const [, stem, suffix, packed] = /^(.*?)(?:\.([^.]+?))?(\.gz)?$/i.exec(file.name);
  const kind = suffix?.toLowerCase();
  if (!(kind in SUFFIXES)) throw new FileError(wrongKind(kind, file.name));
  if (file.size > MAX_BYTES) {
    throw new FileError(`${file.name} is too large for a browser (over 512 MB). The command “plaudit predict --input” scores files of any size.`);
  }
  if (!file.size) throw new FileError(`${file.name} is empty; it needs a row of column names and one row of text.`);
  const table = { name: file.name, stem, columns: [], rows: [], delimiter: ",", bom: false, numBlank: 0 };
  const bytes = file.stream().pipeThrough(counter((read) => onProgress(read, table.rows.length)));
  const plain = packed ? bytes.pipeThrough(new DecompressionStream("gzip")) : bytes;
  const pieces = plain.pipeThrough(new TextDecoderStream("utf-8", { fatal: true, ignoreBOM: true })).getReader();
  let parser = null, rested = performance.now();
  try {
    for (;;) {
      const { value, done } = await pieces.read();
      signal.throwIfAborted();
      if (done) break;
      let piece = value;
      if (!parser) {
        if (piece.startsWith("\ufeff")) { table.bom = true; piece = piece.slice(1); }
        if (piece.includes("\0")) throw new TypeError("binary");
        parser = parserOf(table, SUFFIXES[kind], piece);
      }
      for (let at = 0; at < piece.length; at += 1 << 18) {
        parser.feed(piece.slice(at, at + (1 << 18)));
        if (performance.now() - rested > 25) { await breath(); rested = performance.now(); }
      }
    }
    parser?.end();
  } catch (error) {
    pieces.cancel().catch(() => {});
    if (error instanceof TypeError) throw new FileError(packed ? `${file.name} is not a gzip file of UTF-8 text.` : `${file.name} is not UTF-8 text; save it as CSV in UTF-8.`);
    throw error;
  }
  if (!table.rows.length) throw new FileError(`${file.name} has no rows below its column names.`);
  return table;
}

function wrongKind(kind, name) {
  if (kind === "parquet") return "A browser cannot read Parquet. The command “plaudit predict --input” can.";
  if (/^(xlsx?|ods|numbers)$/.test(kind ?? "")) return `${name} is a spreadsheet; save it as CSV (UTF-8) first.`;
  return `${name} is not a file that this page can read; use .csv, .tsv or .jsonl, also as .gz.`;
}

const counter = (told) => {
  let read = 0;
  return new TransformStream({ transform(piece, to) { read += piece.length; told(read); to.enqueue(piece); } });
};

/** Let the page draw and answer clicks. */
export const breath = () => globalThis.scheduler?.yield?.() ?? new Promise((resolve) => setTimeout(resolve));

function parserOf(table, delimiter, start) {
  if (delimiter === null) return new JsonLines(table.columns, (row) => table.rows.push(row));
  table.delimiter = delimiter === "," ? guessed(start) : delimiter;
  return new Delimited(table.delimiter, (row, blank) => {
    if (!table.columns.length) { if (!blank) table.columns.push(...row); return; }
    const wanted = table.columns.length;
    // In a table of one column an empty line is a row without text; in others it is skipped.
    if (blank && wanted > 1) { table.numBlank++; return; }
    if (row.length !== wanted) {
      throw new FileError(`Row ${table.rows.length + 1} has ${row.length} cells where the first row names ${wanted} columns; put quotes around cells that hold a ${nameOf(table.delimiter)}.`);
    }
    table.rows.push(row);
  });
}

const nameOf = (delimiter) => ({ ",": "comma", ";": "semicolon", "\t": "tab" })[delimiter];

// Spreadsheets of many countries write semicolons into what they call CSV.
function guessed(start) {
  const header = start.slice(0, Math.max(0, start.search(/[\r\n]/)) || start.length).replace(/"[^"]*"/g, "");
  return [",", ";", "\t"].find((delimiter) => header.includes(delimiter)) ?? ",";
}

/** One row of CSV; a cell is quoted only where it has to be. */
export function csvRow(cells, delimiter = ",") {
  const special = delimiter === ";" ? /[;"\r\n]/ : /[,"\r\n]/;
  return `${cells.map((cell) => (special.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(delimiter)}\r\n`;
}
