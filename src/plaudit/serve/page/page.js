// Starts the page: asks for the models and limits, then runs each part.

import { events, giveKey, hasKey, patient } from "./api.js";
import { el } from "./draw.js";
import { EXAMPLES } from "./examples.js";
import { serveFiles, startFiles } from "./file.js";
import { whole } from "./figures.js";
import { serveJudging, setReview, startJudging } from "./judge.js";

const $ = (id) => document.getElementById(id);

async function ask() {
  try {
    const [served, limits] = await Promise.all([patient("v1/models"), patient("v1/limits")]);
    const service = { ...served, limits };
    serveJudging(service);
    serveFiles(service);
  } catch (error) {
    notice(`The list of models cannot be loaded: ${error.message}`);
  }
}

function notice(words) {
  $("notice").textContent = words;
  $("notice").hidden = !words;
}

events.addEventListener("notice", (event) => notice(event.detail));
// The models may have changed after the service was away, or when it does not know one by name.
events.addEventListener("back", ask);
events.addEventListener("stale", ask);

let text = "", model = null;
function showCommand() {
  const body = JSON.stringify({ texts: whole(text) || "A fine film that I will watch again.", ...(model ? { model } : {}) });
  const key = hasKey() ? ' \\\n  -H "Authorization: Bearer $PLAUDIT_API_KEY"' : "";
  const url = new URL("v1/predict", document.baseURI);
  $("curl").textContent = `curl -s ${url} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d '${body.replaceAll("'", "'\\''")}'`;
}

$("copy").addEventListener("click", async () => {
  let copied = true;
  try {
    await navigator.clipboard.writeText($("curl").textContent);
  } catch {
    // There is no clipboard where the page comes over plain HTTP from another machine.
    getSelection().selectAllChildren($("curl"));
    copied = document.execCommand("copy");
  }
  $("copied").textContent = copied ? "Copied." : "The command is selected; press Ctrl+C to copy it.";
  setTimeout(() => { $("copied").textContent = ""; }, 4000);
});

const form = $("key-form");
events.addEventListener("key", (event) => {
  form.hidden = false;
  $("key-error").textContent = event.detail.refused ? "The service no longer accepts this key." : "";
  $("key").focus();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  const wrong = await giveKey($("key").value.trim());
  button.disabled = false;
  $("key-error").textContent = wrong;
  if (wrong) { $("key").select(); return; }
  form.hidden = true;
  $("key").value = "";
  showCommand();
  $("review").focus();
});

for (const [title, example] of EXAMPLES) {
  document.querySelector(".examples").append(el("button", { type: "button", class: "chip", click: () => setReview(example) }, title));
}

// The tip next to a mark. Marks lie under the text box, so they are found by position.
const tip = el("div", { class: "tip", "aria-hidden": "true", hidden: true });
document.body.append(tip);
addEventListener("pointermove", (event) => {
  const mark = document.elementsFromPoint(event.clientX, event.clientY).find((one) => one.dataset?.says);
  tip.hidden = !mark;
  if (!mark) return;
  if (tip.textContent !== mark.dataset.says) tip.textContent = mark.dataset.says;
  const half = tip.offsetWidth / 2;
  const middle = Math.min(Math.max(event.clientX, half + 8), document.documentElement.clientWidth - half - 8);
  const box = mark.getBoundingClientRect();
  const top = Math.min(box.top, event.clientY) - tip.offsetHeight - 6;
  tip.style.left = `${middle - half}px`;
  tip.style.top = `${top < 4 ? event.clientY + 20 : top}px`;
}, { passive: true });
addEventListener("pointerdown", () => { tip.hidden = true; });
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

startJudging((now, shown) => {
  text = now;
  model = shown;
  showCommand();
});
startFiles((row) => {
  setReview(row);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  $("try").scrollIntoView({ behavior: still ? "instant" : "smooth" });
  $("review").focus({ preventScroll: true });
});
ask();
