"""Writes a model card (Mitchell et al. 2019): a README.md with metadata for the Hugging Face Hub."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plaudit.bundle.folder import CARD, Manifest, read_files
from plaudit.bundle.trained import Provenance
from plaudit.evaluate.results import Result
from plaudit.storage import write_text

_METRICS = (("accuracy", "accuracy"), ("f1", "f1"), ("roc_auc", "auc"), ("brier_score", "brier"))


def write_card(folder: Path, name: str, results: Sequence[Result], *, address: str | None = None) -> Path:
    """Write the card of a bundle and return its path; `results` are this model's, and `address` is what `load` takes.

    BundleError if the folder is not a bundle, OutputError if the card cannot be written.
    """
    manifest, _ = read_files(folder)
    write_text(folder / CARD, _card(name, manifest, results, address or name))
    return folder / CARD


def _card(name: str, manifest: Manifest, results: Sequence[Result], address: str) -> str:
    head = {
        "license": "apache-2.0",
        "library_name": "plaudit",
        "pipeline_tag": "text-classification",
        "tags": ["sentiment-analysis", manifest.kind],
        "datasets": sorted({result.data for result in results}),
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


def _text(name: str, manifest: Manifest, results: Sequence[Result], address: str) -> list[str]:
    learned = manifest.provenance.data.get("name", "reviews that were not recorded")
    lines = [
        f"# {name}",
        "",
        f"Classifies texts as {' or '.join(manifest.labels)}. Kind: `{manifest.kind}`, trained on {learned}.",
        "",
        "```python",
        "import plaudit",
        "",
        f'plaudit.load("{address}").predict(["A fine film that I will watch again."])  # or the path of this folder',
        "```",
        "",
        "## Evaluation",
        "",
    ]
    if results:
        lines += [
            "| data, split | reviews | accuracy % (95 %) | F1 % | log loss | ECE % | reviews/s | one review, ms |",
            "|---|---|---|---|---|---|---|---|",
            *(_row(result) for result in results),
            "",
            f"Measured once on {results[0].hardware.cpu}, {results[0].hardware.cores} cores.",
        ]
    else:
        lines.append("Not evaluated yet; run `plaudit evaluate`.")
    lines += ["", "## Training", "", *_training(manifest.kind, manifest.provenance), "", "## Limits", ""]
    lines += [
        f"- It was trained on {learned}; it is less accurate on other kinds of text.",
        "- It judges words, not intent: irony, quotations and plot summaries mislead it.",
        "- Its probabilities are less reliable on texts unlike those it was evaluated on.",
    ]
    return lines


def _row(result: Result) -> str:
    low, high = result.accuracy_ci95
    return (
        f"| {result.data}, {result.split} | {result.n:,} | {100 * result.accuracy:.2f} "
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
        lines.append("- without the reviews that its recipe leaves out")
    if kind == "ensemble":
        lines.append("- its members' settings are in `members.json`; how they were trained is in their own bundles")
    else:
        lines.append("- all settings are in `bundle.json` under `provenance`")
    return lines
