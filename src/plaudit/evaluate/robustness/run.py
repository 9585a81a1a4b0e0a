"""Tests how models do on edited reviews, on reviews of other kinds, on test sentences, and on perturbed reviews.

Nothing is chosen by these figures, so test files may be used.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from plaudit.data.table import Dataset
from plaudit.errors import DataError
from plaudit.evaluate.machine import code_version
from plaudit.evaluate.robustness import behaviour, perturb
from plaudit.evaluate.robustness.datasets import EditedReviews, Reviews, read_files, read_sets
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
from plaudit.evaluate.score import check_labels, data_digest, labels_of_model, predict_all
from plaudit.predictor import Predictor

MAX_PERTURBED = 2_000


def robustness(
    models: Mapping[str, Predictor],
    *,
    sets: Path | None,
    files: Sequence[Path],
    perturbed: Reviews | None,
    console: Console,
    seed: int = 0,
) -> Robustness:
    """Test each model on sentences, on the edited pairs in the folder `sets`, on files, and on perturbed reviews.

    Labels are matched by name. Sentences and pairs need a model with the labels negative and positive; for others a
    message says that they are skipped. At most MAX_PERTURBED reviews of `perturbed` are used. DataError if data are
    missing, damaged or labelled differently from a model; BundleError if a probability is not finite.
    """
    pairs, foreign = read_sets(sets) if sets is not None else ([], [])
    datasets = read_files(files)
    own = {name: _labelled_for(datasets, name, model) for name, model in models.items()}
    if perturbed is not None:
        perturbed = _sample(perturbed, models)
    cases = behaviour.make_cases(seed)
    entries = []
    for name, model in models.items():
        tester = _Tester(name, model, console)
        is_sentiment = set(model.labels) == {NEGATIVE, POSITIVE}
        if not is_sentiment:
            console.print(
                f"{name}: skipping edited pairs and test sentences, which need the labels {NEGATIVE} and {POSITIVE}; "
                f"it has {', '.join(model.labels)}",
                highlight=False,
                soft_wrap=True,
            )
        entries.append(
            ModelRobustness(
                model=name,
                kind=model.kind,
                model_digest=model.digest,
                calibration=model.calibration,
                sources_left_out=leaves_out_sources(model),
                commit=code_version(),
                pairs=tuple(map(tester.on_pairs, pairs)) if is_sentiment else (),
                foreign=tuple(map(tester.on_foreign, [*(foreign if is_sentiment else []), *own[name]])),
                behaviour=tester.on_sentences(cases) if is_sentiment else None,
                perturbed=tester.on_perturbed(perturbed, seed) if perturbed is not None else None,
            )
        )
    return Robustness(models=()).with_models(entries)


def leaves_out_sources(model: Predictor) -> bool:
    """Say whether the model's recipe left listed reviews out of training, by data.leave_out."""
    return bool(model.provenance.data.get("leave_out"))


def _labelled_for(datasets: Mapping[Path, Dataset], model_name: str, model: Predictor) -> list[Reviews]:
    """Return the test rows of each file, all rows if it has none; DataError if the model does not know their labels."""
    reviews = []
    for path, dataset in datasets.items():
        table = dataset.split("test") if len(dataset.split("test")) else dataset.table
        labels_of_model(table, dataset.labels, model.labels, where=str(path), model_name=model_name)
        labels = [dataset.labels[i] for i in table["label"].to_pylist()]
        digest = data_digest(table["id"].to_pylist(), labels)
        reviews.append(Reviews(table["text"].to_pylist(), labels, path.name, digest))
    return reviews


def _sample(reviews: Reviews, models: Mapping[str, Predictor]) -> Reviews:
    if not reviews.texts:
        raise DataError(f"{reviews.name}: no reviews to perturb")
    for name, model in models.items():
        check_labels(sorted(set(reviews.labels)), model.labels, where=reviews.name, model_name=name)
    return perturb.sample_evenly(reviews, MAX_PERTURBED)


@dataclass(frozen=True)
class _Tester:
    """Runs the tests on one model."""

    name: str
    model: Predictor
    console: Console

    def on_pairs(self, pairs: EditedReviews) -> EditedPairs:
        original, edited = self._is_correct(pairs.originals), self._is_correct(pairs.edits)
        return EditedPairs(
            data=pairs.name,
            data_digest=pairs.digest,
            paired_by=pairs.paired_by,
            unflipped=pairs.unflipped,
            original=_proportion(original),
            edited=_proportion(edited),
            both=_proportion(original & edited),
        )

    def on_foreign(self, reviews: Reviews) -> Foreign:
        accuracy = _proportion(self._is_correct(reviews))
        return Foreign(data=reviews.name, data_digest=reviews.digest, accuracy=accuracy)

    def on_sentences(self, cases: behaviour.Cases) -> Behaviour:
        probabilities = self._predict(behaviour.texts_of(cases), "test sentences")
        positive = self.model.labels.index(POSITIVE)
        return behaviour.count_failures(cases, probabilities[:, positive].tolist())

    def on_perturbed(self, reviews: Reviews, seed: int) -> Perturbed:
        levels = []
        for change in perturb.CHANGES:
            texts = perturb.perturbed(reviews.texts, change, seed)
            correct = self._is_correct(reviews._replace(texts=texts, name=change))
            levels.append(Level(change=change, accuracy=_proportion(correct)))
        digest = perturb.digest(reviews, seed)
        return Perturbed(data=reviews.name, data_digest=digest, seed=seed, levels=tuple(levels))

    def _is_correct(self, reviews: Reviews) -> npt.NDArray[np.bool_]:
        predicted = np.asarray(self.model.labels)[self._predict(reviews.texts, reviews.name).argmax(axis=1)]
        correct: npt.NDArray[np.bool_] = predicted == np.asarray(reviews.labels)
        return correct

    def _predict(self, texts: Sequence[str], what: str) -> npt.NDArray[np.float32]:
        description = f"Testing {self.name}: {what}"
        return predict_all(self.model, texts, description, model_name=self.name, console=self.console)


def _proportion(correct: npt.NDArray[np.bool_]) -> Proportion:
    return Proportion.of(int(correct.sum()), len(correct))
