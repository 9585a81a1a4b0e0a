"""Names and folders of models in; loaded, warm models that the service judges by out, and new ones in their place."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from plaudit.bundle.hub import PREFIX, split_reference
from plaudit.bundle.locate import model_folder
from plaudit.errors import PlauditError, SettingsError
from plaudit.evaluate.explain.explanation import Explanation, explanations
from plaudit.predictor import DECIMALS, Predictor, load
from plaudit.serve.batching import Batcher
from plaudit.serve.metrics import Metrics
from plaudit.serve.problem import overloaded
from plaudit.serve.settings import ServeSettings
from plaudit.threads import stay_on_this_thread

_WORDS = "a film of no great moment, "
_WARM_UP = [_WORDS * 6_000]
"""More characters than a model reads before it turns to its compiled kernel."""

_TIMED = [_WORDS * 40]
"""A text of common length, since a model may cut long ones; one alone, which takes one core."""


class ServedModel:
    """A loaded model with its batcher."""

    def __init__(self, name: str, predictor: Predictor, *, settings: ServeSettings, metrics: Metrics) -> None:
        predictor.predict_proba(_WARM_UP)
        cost = min(_seconds(predictor) for _ in range(5)) / len(_TIMED[0])
        self.name = name
        self.predictor = predictor
        self.batcher = Batcher(self.judge, wait_ms=settings.wait_ms, seconds_per_character=cost)
        self._count = metrics.of_model(name)

    def judge(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the prediction of each text as the answer tells it."""
        probabilities = self.predictor.predict_proba(texts)
        verdicts = self.predictor.verdicts(probabilities)
        self._count(verdicts)
        rows = np.round(probabilities.astype(np.float64), DECIMALS).tolist()
        labels = self.predictor.labels
        return [
            {"label": verdict, "probabilities": dict(zip(labels, row, strict=True)), "explanation": None}
            for verdict, row in zip(verdicts, rows, strict=True)
        ]

    def explain(self, texts: Sequence[str]) -> list[Explanation]:
        """Explain verdicts without torch: exactly where the kind allows it, by occlusion elsewhere."""
        method = "exact" if self.predictor.kind == "bow" else "occlusion"
        return list(explanations(self.predictor, texts, method=method, label=None))

    def about(self) -> dict[str, Any]:
        """Return what /v1/models tells of it."""
        of = self.predictor
        return {
            "name": self.name,
            "kind": of.kind,
            "labels": list(of.labels),
            "size_bytes": of.size_bytes,
            "parameters": of.num_parameters,
            "calibration": of.calibration,
            "digest": of.digest,
        }


def _seconds(predictor: Predictor) -> float:
    started = time.perf_counter()
    predictor.predict_proba(_TIMED)
    return time.perf_counter() - started


class ServedModels:
    """All models of a service by name, the first one its default."""

    def __init__(
        self, models: Sequence[str], *, abstain_below: float, settings: ServeSettings, metrics: Metrics
    ) -> None:
        """Load `NAME`, `FOLDER` or `NAME=FOLDER`; BundleError if one is not there, SettingsError if a name repeats."""
        self._settings, self._metrics, self._abstain_below = settings, metrics, abstain_below
        self._sources = dict(map(named, models))
        if len(self._sources) < len(models):
            names = [named(model)[0] for model in models]
            twice = next(name for name in names if names.count(name) > 1)
            raise SettingsError(f"--model: two models are called {twice}; name one of them by --model NAME=FOLDER")
        self.default = next(iter(self._sources))
        self.by_name = {name: self._loaded(name) for name in self._sources}
        for name, model in self.by_name.items():
            metrics.serves(name, kind=model.predictor.kind, digest=model.predictor.digest)
        self._explainer = ThreadPoolExecutor(1, "plaudit-explain", initializer=stay_on_this_thread)
        self._reloading = asyncio.Lock()
        self._explaining = 0

    def _loaded(self, name: str) -> ServedModel:
        predictor = load(self._sources[name], abstain_below=self._abstain_below)
        return ServedModel(name, predictor, settings=self._settings, metrics=self._metrics)

    async def explain(self, model: ServedModel, texts: Sequence[str]) -> list[Explanation]:
        """Explain texts on a thread beside the one that judges; Problem if too many requests want that."""
        if self._explaining >= self._settings.max_explaining:
            raise overloaded("too many explanations at once; try again in a second")
        self._explaining += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._explainer, model.explain, texts)
        finally:
            self._explaining -= 1

    async def reload(self) -> dict[str, str]:
        """Load every model again beside the one that serves, then let it serve; return what came of each.

        One that cannot be loaded leaves the old one in its place.
        """
        came_of = {}
        async with self._reloading:
            for name in self._sources:
                old = self.by_name[name]
                try:
                    new = await asyncio.to_thread(self._loaded, name)
                except Exception as error:  # whatever is wrong with the new one, the old one serves
                    told = str(error) if isinstance(error, PlauditError) else repr(error)
                    came_of[name] = f"kept: {told}"
                    continue
                self.by_name[name] = new
                self._metrics.serves(name, kind=new.predictor.kind, digest=new.predictor.digest)
                old.batcher.close()
                came_of[name] = "same" if new.predictor.digest == old.predictor.digest else "new"
        return came_of


def named(model: str) -> tuple[str, str]:
    """Return name and source of `NAME`, `FOLDER`, `hf://OWNER/NAME` or `NAME=` any of them."""
    name, equals, folder = model.partition("=")
    if equals and name and "/" not in name:
        return name, folder
    if model.startswith(PREFIX):
        return split_reference(model)[0].partition("/")[2], model
    return model_folder(model).resolve().name, model
