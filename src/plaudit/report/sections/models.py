"""What was done before anything was judged: the data, what others did, the models' settings, their training."""

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.quality.report import QualityReport
from plaudit.report import figures
from plaudit.report.document import Block, Figure, Missing, Paragraph, Row, Section, Table, columns
from plaudit.report.evidence import Evidence
from plaudit.report.numbers import duration, percent, rate
from plaudit.report.scored import Group

# Accuracy in percent on IMDB's official test split, as published; docs/literature.md has the whole review.
_PUBLISHED = (
    ("VADER", "lexicon, no training", "–", "Hutto & Gilbert 2014"),
    ("NB-SVM", "bag of bigrams", "91.22", "Wang & Manning 2012"),
    ("LSTM, labels alone", "1,024 cells", "86.50", "Dai & Le 2015"),
    ("SA-LSTM", "sequence autoencoder on unlabelled reviews first", "92.76", "Dai & Le 2015"),
    ("oh-LSTM", "region embeddings of unlabelled reviews", "94.06", "Johnson & Zhang 2016"),
    ("LSTM, virtual adversarial training", "language model first", "94.09", "Miyato et al. 2017"),
    (
        "DV-ngrams-cosine with NB-weighted n-grams",
        "read test texts; corrected figure",
        "93.68",
        "Bingyu & Arefyev 2022",
    ),
    ("ULMFiT", "language model of WikiText-103, two directions", "95.4", "Howard & Ruder 2018"),
    ("DistilBERT, fine-tuned", "pretrained on the web", "92.8", "Sanh et al. 2019"),
)

_OF_KIND = {
    "bow": ("max_order", "min_count", "slot_bits", "inverse_regularization", "storage"),
    "lstm": ("vocabulary_size", "embedding_size", "hidden_size", "bidirectional", "max_tokens", "pooling"),
    "docvec": ("size", "epochs"),
    "transformer": ("checkpoint", "max_tokens"),
    "ensemble": ("members",),
}


def data(evidence: Evidence) -> Section:
    """What the reviews are, and what is odd about them."""
    report = next((run.data for run in evidence.runs if run.data is not None), None)
    if report is None:
        return Section("data", "Data", (Missing("what the data hold", "data.json"),))
    blocks: list[Block] = [_splits(report)]
    shared = [overlap for overlap in report.overlaps if overlap.shared_texts]
    if shared:
        rows = tuple(
            (
                f"{o.first}, {o.second}",
                *(f"{n:,}" for n in (o.shared_texts, o.rows_in_first, o.rows_in_second, o.shared_groups)),
            )
            for o in shared
        )
        heads = columns("Splits", "#Texts", "#Rows in the first", "#Rows in the second", "#Groups")
        blocks.append(Table("Shared between splits; training leaves out what test and validation repeat", heads, rows))
    if report.dropped:
        reasons = ", ".join(f"{count:,} ({reason})" for reason, count in report.dropped.items())
        blocks.append(Paragraph(f"Left out on loading: {reasons}."))
    labels = {"lengths": "Share of reviews by their length in words", "ratings": "Reviews by rating"}
    drawn = figures.data_charts(report)
    blocks.append(Row(tuple(Figure(svg, f"{labels[name]}, split by split", "") for name, svg in drawn.items())))
    return Section("data", "Data", tuple(blocks))


def _splits(report: QualityReport) -> Table:
    parts = list(report.splits.values())
    rows = [("reviews", *(f"{part.num_rows:,}" for part in parts))]
    rows += [(f"labelled {label}", *(f"{part.labels.get(label, 0):,}" for part in parts)) for label in report.labels]
    rows += [
        ("groups, such as movies", *(f"{part.num_groups:,}" for part in parts)),
        ("words, median", *(f"{part.num_words.median:,.0f}" for part in parts)),
        ("words, 95 of 100 have at most", *(f"{part.num_words.p95:,.0f}" for part in parts)),
    ]
    rows += [(problem, *(f"{part.problems()[problem]:,}" for part in parts)) for problem in parts[0].problems()]
    caption = f"{report.name}: {report.num_rows:,} reviews as loaded, sha256 `{report.digest[:12]}`"
    return Table(caption, columns("", *(f"#{name}" for name in report.splits)), tuple(rows))


def related_work() -> Section:
    """Published figures to set ours beside."""
    return Section(
        "related",
        "Related work",
        (
            Paragraph(
                "Sentiment of film reviews has been judged by lexicons, by bags of words and n-grams, by LSTMs "
                "that learn from labels alone or read unlabelled reviews first, and by pretrained Transformers. "
                "Below is what their authors report on IMDB's official test split (Maas et al. 2011); none of it "
                "was measured by us, and some of it rests on choices made on that split. Small models are made "
                "from large ones by distillation (Hinton et al. 2015), pruning (Wen et al. 2018 for LSTMs) and "
                "quantization; training on many machines sends less by sparse or low-rank gradients (Lin et al. "
                "2018, Vogels et al. 2019) or by averaging seldom (Douillard et al. 2023)."
            ),
            Table(
                "Published accuracy on IMDB's test split, in percent",
                columns("Model", "What", "#Accuracy, %", "Source"),
                _PUBLISHED,
            ),
        ),
    )


def method(evidence: Evidence, groups: Sequence[Group]) -> Section:
    """What each model is and how it was made, as its settings tell."""
    blocks: list[Block] = [
        Paragraph(
            "Reviews are cleaned and cut into tokens by one compiled pass that every model shares. Validation is "
            "held out of train by movie, where movies are known; every choice is made there. The test split is "
            "scored once for each finished model. A **bow** is an NB-weighted logistic regression on n-grams (Wang "
            "& Manning 2012), an **lstm** reads word vectors and pools its states, **docvec** learns a vector for "
            "each text (Thongtan & Phienthrakul 2019), an **ensemble** adds the logits of others with weights from "
            "validation."
        )
    ]
    rows = []
    seen = set()
    for group in groups:
        for scored in group.scored:
            table = (scored.first.recipe or {}).get("models", {}).get(scored.first.model)
            if table is None or scored.name in seen:
                continue
            seen.add(scored.name)
            rows.append((scored.name, scored.first.kind, _made_from(table), _settings(scored.first.kind, table)))
    if rows:
        blocks.append(Table("The models", columns("Model", "Kind", "Made from", "Settings"), tuple(rows)))
    else:
        blocks.append(Missing("the models' settings", "the recipe in results.json"))
    return Section("method", "Method", tuple(blocks))


def _made_from(table: Mapping[str, Any]) -> str:
    found = [str(table[name]) for name in ("from", "pretrained") if table.get(name)]
    if "pretrain" in table:
        found.append("a language model of its own")
    if "distill" in table:
        teachers = table["distill"].get("teachers") or [table["distill"].get("soft_labels") or "soft labels"]
        beside = f" beside {table['distill']['beside']}" if table["distill"].get("beside") else ""
        found.append(f"taught by {', '.join(map(str, teachers))}{beside}")
    return ", ".join(found) or "labels"


def _settings(kind: str, table: Mapping[str, Any]) -> str:
    shown = [f"{name} {_shown(table[name])}" for name in _OF_KIND.get(kind, ()) if table.get(name) is not None]
    train = table.get("train")
    if train:
        shown.append(f"{train['epochs']} epochs, learning rate {train['max_learning_rate']:g}")
    for part in ("objective", "distill", "prune"):
        losses = (table.get(part) or {}).get("losses") or ((table.get(part) or {}).get("objective") or {}).get("losses")
        if losses:
            shown.append(" + ".join(f"{weight:g} {loss}" for loss, weight in losses.items()))
    if "prune" in table and table["prune"].get("ratio") is not None:
        shown.append(f"{percent(table['prune']['ratio'], 0)} pruned")
    return ", ".join(shown).replace("_", " ") or "–"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " + ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def training(evidence: Evidence) -> Section:
    """Learning curves, and what training cost."""
    blocks: list[Block] = []
    cost = [
        (result.model, run.name, duration(result.train_seconds), "–" if result.seed is None else str(result.seed))
        for run, result in evidence.results
        if result.train_seconds is not None
    ]
    if cost:
        heads = columns("Model", "Run", "#Training", "#Seed")
        blocks.append(
            Table("What training took, that of the models it starts from or adds up included", heads, tuple(cost))
        )
    logs = [(run, model, events) for run in evidence.runs for model, events in run.training.items()]
    if not logs:
        blocks.append(
            Missing("training curves (only models trained step by step have them)", "training/MODEL/metrics.jsonl")
        )
    for run, model, events in logs:
        drawn = {quantity: figures.learning_curve(events, quantity) for quantity in ("loss", "accuracy")}
        curves = tuple(
            Figure(
                svg,
                f"{quantity.capitalize()} of {model} by training step",
                f"{model} ({run.name}): {quantity} by training step",
            )
            for quantity, svg in drawn.items()
            if svg
        )
        if curves:
            blocks.append(Row(curves))
        last = next((event for event in reversed(events) if event["event"] == "epoch"), None)
        if last is not None and last.get("validation_accuracy") is not None:
            speed = f", {rate(last['tokens_per_second'])} tokens a second" if last.get("tokens_per_second") else ""
            whole = f", {duration(last['seconds'])} in all" if last.get("seconds") else ""
            right = percent(last["validation_accuracy"], 2)
            blocks.append(
                Paragraph(f"{model} after the last epoch: {right} of the validation reviews right{speed}{whole}.")
            )
    return Section("training", "Training", tuple(blocks))
