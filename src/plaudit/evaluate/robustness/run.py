"""Models in; how they hold up where reviews are edited, foreign, made up or spoilt out.

    edited.py      edited pairs: does the verdict follow the few words that turn a review around?
    behaviour.py   behavioural tests on sentences of ours, which need no data
    perturb.py     typos, cut ends, other case, shuffled words

Nothing is chosen by these figures, so they are quoted on test files.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from plaudit.data.labelled_file import read_labelled_file
from plaudit.errors import BundleError, DataError
from plaudit.evaluate.machine import code_version
from plaudit.evaluate.robustness import behaviour, perturb
from plaudit.evaluate.robustness.edited import Labelled, Pairs, read_sets
from plaudit.evaluate.robustness.perturb import CHANGES, Reviews, evenly
from plaudit.evaluate.robustness.results import (
    Behaviour,
    EditedPairs,
    Foreign,
    Level,
    ModelRobustness,
    Perturbed,
    Proportion,
    Robustness,
)
from plaudit.evaluate.robustness.templates import NEGATIVE, POSITIVE
from plaudit.evaluate.score import CHUNK, Scorer, data_digest, labels_of_model

MAX_PERTURBED = 2_000

Probabilities = npt.NDArray[np.float32]
Score = Callable[[Sequence[str]], Probabilities]


def robustness(
    models: Mapping[str, Scorer],
    *,
    sets: Path | None,
    own: Sequence[Path],
    perturbed: Reviews | None,
    console: Console,
    seed: int = 0,
) -> Robustness:
    """Test each model on behaviour, on the pairs in the folder `sets`, on own files, and on spoilt reviews.

    Labels are matched by name. Pairs and behaviour are for models that tell negative from positive; another one is
    said to be left out of them. Of `perturbed` at most MAX_PERTURBED reviews are used. DataError if data are missing,
    damaged or labelled otherwise than a model; BundleError if a probability is not finite.
    """
    pairs, foreign = read_sets(sets, "test") if sets is not None else ([], [])
    spoilt = None if perturbed is None else evenly(_not_empty(perturbed), MAX_PERTURBED)
    own_of_model = {name: _own_files(own, model.labels, name) for name, model in models.items()}
    if spoilt is not None:
        for name, model in models.items():
            _check_labels(spoilt, model.labels, name)
    tests = behaviour.capabilities(seed)
    entries = []
    for name, model in models.items():
        tells = set(model.labels) == {NEGATIVE, POSITIVE}
        if not tells:
            console.print(
                f"{name}: its labels are {', '.join(model.labels)}; "
                f"edited pairs and behaviour are for {NEGATIVE} and {POSITIVE}, and skipped",
                highlight=False,
                soft_wrap=True,
            )
        known = [*(foreign if tells else []), *own_of_model[name]]
        num_texts = sum(len(each.texts) for each in known) + (len(CHANGES) * len(spoilt.texts) if spoilt else 0)
        if tells:
            num_texts += sum(2 * len(each.originals.texts) for each in pairs) + len(behaviour.texts_of(tests))
        with _Scoring(name, model, num_texts, console) as score:
            entries.append(
                ModelRobustness(
                    model=name,
                    kind=model.kind,
                    model_digest=model.digest,
                    calibration=model.calibration,
                    sources_left_out=leaves_out(model),
                    commit=code_version(),
                    pairs=tuple(_on_pairs(each, model.labels, score) for each in pairs) if tells else (),
                    foreign=tuple(_on_foreign(each, model.labels, score) for each in known),
                    behaviour=_on_behaviour(tests, model.labels, score) if tells else None,
                    perturbed=None if spoilt is None else _on_spoilt(spoilt, model.labels, score, seed),
                )
            )
    return Robustness(models=()).with_models(entries)


def leaves_out(model: Scorer) -> bool:
    """Say whether the recipe of a model kept listed reviews out of training, as by data.leave_out."""
    return bool(model.provenance.data.get("leave_out"))


class _Scoring:
    """A progress bar around a predictor: texts in, float32 [N, C] out."""

    def __init__(self, name: str, model: Scorer, num_texts: int, console: Console) -> None:
        self._name, self._model = name, model
        bar = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*bar, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(f"Testing {name}", total=num_texts)

    def __enter__(self) -> Score:
        self._progress.start()
        return self._score

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _score(self, texts: Sequence[str]) -> Probabilities:
        chunks = []
        for start in range(0, len(texts), CHUNK):
            chunks.append(self._model.predict_proba(texts[start : start + CHUNK]))
            self._progress.advance(self._task, len(chunks[-1]))
        probabilities = np.concatenate(chunks)
        if not np.isfinite(probabilities).all():
            raise BundleError(f"{self._name}: its probabilities are not finite; train it again")
        return probabilities


def _right(texts: Sequence[str], labels: Sequence[str], names: Sequence[str], score: Score) -> npt.NDArray[np.bool_]:
    """Say of each text whether its most probable label is the true one."""
    right: npt.NDArray[np.bool_] = np.asarray(names)[score(texts).argmax(axis=1)] == np.asarray(labels)
    return right


def _proportion(right: npt.NDArray[np.bool_]) -> Proportion:
    return Proportion.of(int(right.sum()), len(right))


def _on_pairs(pairs: Pairs, names: Sequence[str], score: Score) -> EditedPairs:
    original, edited = (_right(each.texts, each.labels, names, score) for each in (pairs.originals, pairs.edits))
    return EditedPairs(
        data=pairs.name,
        data_digest=pairs.digest,
        paired_by=pairs.paired_by,
        unflipped=pairs.unflipped,
        original=_proportion(original),
        edited=_proportion(edited),
        both=_proportion(original & edited),
    )


def _on_foreign(reviews: Labelled, names: Sequence[str], score: Score) -> Foreign:
    right = _right(reviews.texts, reviews.labels, names, score)
    return Foreign(data=reviews.name, data_digest=reviews.digest, accuracy=_proportion(right))


def _on_behaviour(tests: behaviour.Cases, names: Sequence[str], score: Score) -> Behaviour:
    return behaviour.judge(tests, score(behaviour.texts_of(tests))[:, list(names).index(POSITIVE)].tolist())


def _on_spoilt(reviews: Reviews, names: Sequence[str], score: Score, seed: int) -> Perturbed:
    levels = []
    for change in CHANGES:
        right = _right(perturb.perturbed(reviews.texts, change, seed), reviews.labels, names, score)
        levels.append(Level(change=change, accuracy=_proportion(right)))
    return Perturbed(data=reviews.name, data_digest=perturb.digest(reviews, seed), seed=seed, levels=tuple(levels))


def _own_files(paths: Sequence[Path], names: Sequence[str], model_name: str) -> list[Labelled]:
    """Read own files: rows that are called test if there are any, else all."""
    found: dict[str, Labelled] = {}
    for path in paths:
        if path.name in found:
            raise DataError(f"{path}: a second file of this name; rename it, for results go by names")
        dataset = read_labelled_file(path)
        table = dataset.split("test") if len(dataset.split("test")) else dataset.table
        labels_of_model(table, dataset.labels, names, where=str(path), model_name=model_name)
        labels = [dataset.labels[i] for i in table["label"].to_pylist()]
        digest = data_digest(table["id"].to_pylist(), labels)
        found[path.name] = Labelled(path.name, table["text"].to_pylist(), labels, digest)
    return list(found.values())


def _not_empty(reviews: Reviews) -> Reviews:
    if not reviews.texts:
        raise DataError(f"{reviews.name}: no reviews to spoil")
    return reviews


def _check_labels(reviews: Reviews, names: Sequence[str], model_name: str) -> None:
    if not set(reviews.labels) <= set(names):
        raise DataError(
            f"{reviews.name}: its labels are {', '.join(sorted(set(reviews.labels)))}, but {model_name} knows "
            f"{', '.join(names)}; give data labelled with the model's names"
        )
