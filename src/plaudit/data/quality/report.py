"""Inspect a data set: count everything in it that misleads training or evaluation."""

import dataclasses
import itertools
import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from plaudit.data.splits import text_keys
from plaudit.data.table import Dataset

SPLIT_ORDER = ("train", "validation", "test", "unsup")
UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
"""Letters of scripts that put no spaces between words."""
UNSPACED_SHARE = 0.1
"""Share of texts without spaces between words above which that is said."""

NUM_LENGTH_BINS = 40  # at most; short texts have fewer whole numbers

# Regular expressions (RE2) for remains of web pages and of wrong encodings. Mojibake is UTF-8 that was read as
# Windows-1252 or Latin-1: an accent or a quotation mark has become two or three letters.
ISSUES = {
    "html_tags": r"<[A-Za-z/!][^<>]*>",
    "html_entities": r"&(?:#\d+|#x[0-9A-Fa-f]+|[A-Za-z]+\d*);",
    "replacement_characters": "\ufffd",
    "mojibake": r"â€|ï¿½|[ÃÂ][\x{80}-\x{bf}]|Ã[ƒ‚„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]",
    "control_characters": r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}]",
}


@dataclass(frozen=True)
class Lengths:
    """How long texts are, in words or in characters."""

    min: int
    median: float
    mean: float
    p95: float
    p99: float
    max: int


@dataclass(frozen=True)
class SplitQuality:
    """One split: counts of rows unless the name says otherwise; the bins of the histogram are the report's."""

    num_rows: int
    labels: dict[str, int]
    ratings: dict[str, int]
    missing_texts: int
    empty_texts: int
    repeated_texts: int
    """Rows whose text an earlier row of the split has, up to case and white space."""
    conflicting_texts: int
    """Distinct texts that occur with more than one label."""
    num_groups: int
    without_group: int
    issues: dict[str, int]
    num_words: Lengths
    num_characters: Lengths
    num_words_histogram: list[int]

    def problems(self) -> dict[str, int]:
        """Return counts that should be near zero, by a name to show."""
        return {
            "missing text": self.missing_texts,
            "empty text": self.empty_texts,
            "text repeats an earlier one": self.repeated_texts,
            "texts with two labels": self.conflicting_texts,
            **{name.replace("_", " "): count for name, count in self.issues.items()},
        }


@dataclass(frozen=True)
class SplitOverlap:
    """What two splits share."""

    first: str
    second: str
    shared_texts: int
    rows_in_first: int
    rows_in_second: int
    shared_groups: int


def unspaced_share(texts: pa.ChunkedArray) -> float:
    """Return the share of texts most of whose characters are of a script without spaces, of 1,000 spread evenly."""
    some = texts.take(pa.array(range(0, len(texts), -(-len(texts) // 1_000) or 1), pa.int64())).drop_null()
    is_unspaced = pc.greater(pc.multiply(pc.count_substring_regex(some, UNSPACED), 2), pc.utf8_length(some))
    return pc.mean(is_unspaced).as_py() or 0.0


def unspaced_warning(share: float, *, model: str) -> str | None:
    """Return the line on a model that learns words where texts have none, None if too few are so."""
    if share <= UNSPACED_SHARE:
        return None
    return (
        f"{100 * share:.0f} % of the texts have no spaces between words, and so no words to learn; use n-grams of "
        f"characters: plaudit train FILE, or models.{model}.characters = 3"
    )


@dataclass(frozen=True)
class QualityReport:
    """The counts for a data set, split by split and between splits."""

    name: str
    digest: str
    labels: tuple[str, ...]
    num_rows: int
    dropped: dict[str, int]
    """Rows that loading left out, by reason."""
    splits: dict[str, SplitQuality]
    overlaps: list[SplitOverlap]
    num_words_edges: list[int]
    unspaced_share: float = 0.0
    """Share of texts in a script without spaces between words, such as Chinese or Thai."""

    def to_json(self) -> str:
        """Return the report as JSON in a fixed order, ending in a line break."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"


def inspect(dataset: Dataset) -> QualityReport:
    """Count what is odd in a dataset, split by split and between splits; nothing is changed."""
    keys = text_keys(dataset.table["text"])
    num_words = _num_words(dataset.table["text"])
    longest = max(2, int(num_words.max(initial=1)))
    edges = np.unique(np.geomspace(1, longest + 1, NUM_LENGTH_BINS + 1).round())
    split = np.asarray(dataset.table["split"].to_pylist(), dtype=object)
    rows = {name: np.flatnonzero(split == name) for name in SPLIT_ORDER if (split == name).any()}
    tables = {name: dataset.table.take(pa.array(chosen)) for name, chosen in rows.items()}
    return QualityReport(
        name=dataset.name,
        digest=dataset.digest,
        labels=dataset.labels,
        num_rows=len(dataset.table),
        dropped=dataset.dropped,
        unspaced_share=unspaced_share(dataset.table["text"]),
        splits={
            name: _split_quality(tables[name], dataset.labels, keys[chosen], num_words[chosen], edges)
            for name, chosen in rows.items()
        },
        overlaps=[
            _overlap(first, second, keys[rows[first]], keys[rows[second]], tables)
            for first, second in itertools.combinations(rows, 2)
        ],
        num_words_edges=[int(edge) for edge in edges],
    )


def _split_quality(
    table: pa.Table, labels: tuple[str, ...], keys: np.ndarray, num_words: np.ndarray, edges: np.ndarray
) -> SplitQuality:
    text = table["text"]
    label = pc.fill_null(table["label"], -1).to_numpy()
    by_label = {name: int((label == i).sum()) for i, name in enumerate(labels)}
    unlabelled = int((label == -1).sum())
    ratings = pc.value_counts(table["rating"].drop_null()).to_pylist()
    pairs = np.unique(np.stack([keys, label])[:, label >= 0], axis=1)
    return SplitQuality(
        num_rows=len(table),
        labels=by_label | ({"(none)": unlabelled} if unlabelled else {}),
        ratings={str(r["values"]): r["counts"] for r in sorted(ratings, key=lambda r: int(r["values"]))},
        missing_texts=text.null_count,
        empty_texts=int((num_words == 0).sum()) - text.null_count,
        repeated_texts=len(keys) - len(np.unique(keys)),
        conflicting_texts=int((np.unique(pairs[0], return_counts=True)[1] > 1).sum()),
        num_groups=pc.count_distinct(table["group"]).as_py(),
        without_group=table["group"].null_count,
        issues={name: pc.sum(pc.match_substring_regex(text, pattern)).as_py() or 0 for name, pattern in ISSUES.items()},
        num_words=_lengths(num_words),
        num_characters=_lengths(pc.fill_null(pc.utf8_length(text), 0).to_numpy()),
        num_words_histogram=np.histogram(num_words, edges)[0].tolist(),
    )


def _overlap(
    first: str, second: str, first_keys: np.ndarray, second_keys: np.ndarray, tables: dict[str, pa.Table]
) -> SplitOverlap:
    groups = [set(pc.unique(tables[name]["group"].drop_null()).to_pylist()) for name in (first, second)]
    return SplitOverlap(
        first=first,
        second=second,
        shared_texts=len(np.intersect1d(first_keys, second_keys)),
        rows_in_first=int(np.isin(first_keys, second_keys).sum()),
        rows_in_second=int(np.isin(second_keys, first_keys).sum()),
        shared_groups=len(groups[0] & groups[1]),
    )


def _num_words(texts: pa.ChunkedArray) -> np.ndarray:
    """Count the words between white space; 0 for a missing or empty text. int64 [N]."""
    trimmed = pc.utf8_trim_whitespace(texts)
    counts = [
        # Slices limit the memory for the words, which are only counted.
        pc.list_value_length(pc.ascii_split_whitespace(chunk.slice(i, 10_000)))
        for chunk in trimmed.chunks
        for i in range(0, len(chunk), 10_000)
    ]
    num_words = pc.fill_null(pa.chunked_array(counts, pa.int32()), 0).to_numpy().astype(np.int64)
    blank = pc.fill_null(pc.equal(trimmed, ""), True).to_numpy()
    return np.where(blank, 0, num_words)


def _lengths(values: np.ndarray) -> Lengths:
    median, p95, p99 = np.percentile(values, [50, 95, 99])
    return Lengths(
        min=int(values.min()),
        median=float(median),
        mean=round(float(values.mean()), 1),
        p95=round(float(p95), 1),
        p99=round(float(p99), 1),
        max=int(values.max()),
    )
