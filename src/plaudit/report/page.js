"use strict";
// Points of a chart show a tooltip by mouse, finger or arrow keys; a click on a heading sorts its table.
(() => {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);

  const show = (mark) => {
    tip.textContent = mark.dataset.tooltip;
    tip.hidden = false;
    const box = mark.getBoundingClientRect();
    const half = tip.offsetWidth / 2;
    const middle = Math.min(Math.max(box.left + box.width / 2, half + 8), document.documentElement.clientWidth - half - 8);
    tip.style.left = `${middle + window.scrollX - half}px`;
    const above = box.top - tip.offsetHeight - 8;
    tip.style.top = `${(above < 0 ? box.bottom + 8 : above) + window.scrollY}px`;
  };
  const hide = () => { tip.hidden = true; };
  const markOf = (event) => event.target instanceof Element && event.target.closest("[data-tooltip]");

  for (const chart of document.querySelectorAll(".chart")) {
    const marks = [...chart.querySelectorAll("[data-tooltip]")];
    if (!marks.length) continue;
    let at = -1;
    chart.tabIndex = 0;
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      at = (at + step + marks.length) % marks.length;
      show(marks[at]);
    });
    chart.addEventListener("blur", hide);
  }
  document.addEventListener("pointerover", (event) => { const mark = markOf(event); if (mark) show(mark); });
  document.addEventListener("pointerout", (event) => { if (markOf(event)) hide(); });
  document.addEventListener("click", (event) => { const mark = markOf(event); if (mark) show(mark); });

  const UNITS = { kB: 1e3, MB: 1e6, s: 1, min: 60, h: 3600 };
  const value = (row, column) => {
    const cell = row.cells[column];
    const text = cell.textContent.trim();
    if (!cell.classList.contains("number")) return text;
    const plain = text.replaceAll(",", "").replace("−", "-").replace(/^<\s*/, "");
    const parts = [...plain.matchAll(/([\d.]+)\s(kB|MB|min|s|h)\b/g)];
    const number = parts.length ? parts.reduce((sum, [, n, unit]) => sum + n * UNITS[unit], 0) : parseFloat(plain);
    return Number.isNaN(number) ? -Infinity : number; // a dash sorts below every number
  };
  const compare = (a, b) =>
    typeof a === "number" ? (a === b ? 0 : a - b) : a.localeCompare(b, "en", { numeric: true });
  for (const table of document.querySelectorAll("table:not(.shaded)")) {
    const body = table.tBodies[0];
    if (!body || body.rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.tagName !== "TH") return;
      const button = document.createElement("button");
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const falls = head.getAttribute("aria-sort") !== "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", falls ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
        body.append(...(falls ? rows.reverse() : rows));
      });
    });
  }
})();
