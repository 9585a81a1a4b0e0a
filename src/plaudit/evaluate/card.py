"""Writes a model card (Mitchell et al. 2019): a README.md with metadata for the Hugging Face Hub."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.bundle.folder import CARD, Manifest, read_files
from plaudit.bundle.trained import Provenance
from plaudit.data.load import DATASETS
from plaudit.evaluate.classes import FEW_TEXTS, largest_class
from plaudit.evaluate.results import Result
from plaudit.storage import write_text

_METRICS = (("accuracy", "accuracy"), ("f1", "f1"), ("roc_auc", "auc"), ("brier_score", "brier"))
_SENTIMENT = {"negative", "neutral", "positive"}
_LOAD = re.compile(r'plaudit\.load\("(?:[^"\\\n]|\\.)*"\)')


def write_card(
    folder: Path, name: str, results: Sequence[Result], *, address: str | None = None, license: str | None = None
) -> Path:
    """Write the card of a bundle and return its path.

    `results` are this model's, `address` is what `load` takes where the card will be read, the name if not given.
    `license` is an identifier of the hub, such as mit: only who owns the texts and the model can choose one.
    BundleError if the folder is not a bundle, OutputError if the card cannot be written.
    """
    manifest, _ = read_files(folder)
    write_text(folder / CARD, _card(name, manifest, results, address or name, license))
    return folder / CARD


def with_address(card: str, address: str) -> str:
    """Return a card whose example loads the model from another address."""
    return _LOAD.sub(lambda _: _load(address), card)


def _load(address: str) -> str:
    return f"plaudit.load({json.dumps(address, ensure_ascii=False)})"


def _card(name: str, manifest: Manifest, results: Sequence[Result], address: str, license: str | None) -> str:
    is_sentiment = {label.casefold() for label in manifest.labels} <= _SENTIMENT
    head = {
        "license": license,
        "library_name": "plaudit",
        "pipeline_tag": "text-classification",
        "tags": [*(["sentiment-analysis"] if is_sentiment else []), manifest.kind],
        # The hub looks these up among its data sets, where nobody's own file is.
        "datasets": sorted({result.data for result in results if result.data in DATASETS}),
        "model-index": [{"name": name, "results": [_index(result) for result in results]}],
    }
    # JSON values are valid YAML, so no text can break the metadata.
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items() if value]
    return "\n".join(["---", *lines, "---", "", *_text(name, manifest, results, address), ""])


def _index(result: Result) -> dict[str, Any]:
    measured = ((kind, getattr(result, field)) for kind, field in _METRICS)
    return {
        "task": {"type": "text-classification"},
        "dataset": {"type": result.data, "name": result.data, "split": result.split},
        "metrics": [{"type": kind, "value": round(value, 5)} for kind, value in measured if value is not None],
    }


def _plain(text: str) -> str:
    """Return a text as Markdown that shows it as it is, on one line."""
    return re.sub(r"([\\`*_\[\]|#~])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _text(name: str, manifest: Manifest, results: Sequence[Result], address: str) -> list[str]:
    learned = _learned_from(manifest.provenance)
    lines = [
        f"# {_plain(name)}",
        "",
        f"Classifies texts as {' or '.join(map(_plain, manifest.labels))}. Kind: `{manifest.kind}`, trained on "
        f"{learned}.",
        "",
        "```python",
        "import plaudit",
        "",
        f'{_load(address)}.predict(["a text to classify"])  # or the path of this folder',
        "```",
        "",
        "## Evaluation",
        "",
    ]
    if results:
        lines += [
            *(f"{_accuracy(result)}\n" for result in results),
            "| data, split | texts | accuracy % (95 %) | F1 % | log loss | ECE % | texts/s | one text, ms |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(result) for result in results),
            "",
            f"Measured once on {results[0].hardware.cpu}, {results[0].hardware.cores} cores.",
        ]
    else:
        lines.append("Not evaluated yet; run `plaudit evaluate`.")
    lines += ["", "## Training", "", *_training(manifest.kind, manifest.provenance), "", "## Limits", ""]
    lines += [
        *(
            f"- Only {result.n:,} texts of {_plain(result.data)} were tested, too few for a reliable accuracy."
            for result in results
            if result.n < FEW_TEXTS
        ),
        f"- It was trained on {learned}; it is less accurate on other kinds of text.",
        "- It judges words, not intent: irony and quotations mislead it.",
        "- Its probabilities are less reliable on texts unlike those it was evaluated on.",
    ]
    return lines


def _learned_from(provenance: Provenance) -> str:
    """Return the data's name; of an own file without its folder, which is nobody else's business."""
    name = provenance.data.get("name")
    if name is None:
        return "texts that were not recorded"
    return name if name in DATASETS else _plain(re.split(r"[/\\]", str(name))[-1])


def _accuracy(result: Result) -> str:
    low, high = result.accuracy_ci95
    label, share = largest_class(result)
    return (
        f"{100 * result.accuracy:.1f} % accuracy on {result.n:,} texts of {_plain(result.data)}, {result.split} (95 % "
        f"interval {100 * low:.1f}–{100 * high:.1f}); always guessing “{_plain(label)}” gets {100 * share:.1f} %."
    )


def _row(result: Result) -> str:
    low, high = result.accuracy_ci95
    return (
        f"| {_plain(result.data)}, {result.split} | {result.n:,} | {100 * result.accuracy:.2f} "
        f"({100 * low:.2f}–{100 * high:.2f}) | {100 * result.f1:.2f} | {result.log_loss:.4f} | "
        f"{100 * result.ece:.2f} | {result.reviews_per_second:,.0f} | {result.latency_ms.p50:.2f} |"
    )


def _training(kind: str, provenance: Provenance) -> list[str]:
    lines = []
    seconds = provenance.train_seconds
    if seconds is not None:
        lines.append(f"- {seconds:,.0f} s of training, with the models it is made from; seed {provenance.seed}")
    steps = [step.method for step in provenance.compression]
    if steps:
        lines.append(f"- compressed: {', then '.join(steps)}")
    if provenance.data.get("leave_out"):
        lines.append("- without the texts that its recipe leaves out")
    if kind == "ensemble":
        lines.append("- its members' settings are in `members.json`; how they were trained is in their own bundles")
    else:
        lines.append("- all settings are in `bundle.json` under `provenance`")
    return lines
