"""The models of a service: loaded, warmed up, and reloaded without stopping."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from plaudit.bundle.hub import PREFIX, split_reference
from plaudit.bundle.locate import model_folder
from plaudit.errors import PlauditError, SettingsError
from plaudit.explain.explanation import Explanation, explanations
from plaudit.models.base import DECIMALS
from plaudit.predictor import Predictor, load
from plaudit.serve.batching import Batcher
from plaudit.serve.metrics import Metrics
from plaudit.serve.problem import overloaded
from plaudit.serve.schema import ModelInfo
from plaudit.serve.settings import ServeSettings
from plaudit.threads import stay_on_this_thread

_WORDS = "a film of no great moment, "
_WARM_UP = [_WORDS * 6_000]
"""More characters than a model reads before it switches to its compiled kernel."""

_TIMED = [_WORDS * 40]
"""A text of usual length, since a model may truncate long ones; a single one, which takes one core."""


class ServedModel:
    """A loaded model with its batcher."""

    def __init__(self, name: str, predictor: Predictor, *, settings: ServeSettings, metrics: Metrics) -> None:
        predictor.predict_proba(_WARM_UP)
        cost = min(_seconds(predictor) for _ in range(5)) / len(_TIMED[0])
        self.name = name
        self.predictor = predictor
        self.batcher = Batcher(self.predict, wait_ms=settings.wait_ms, seconds_per_character=cost)
        self._count = metrics.of_model(name)

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Return the prediction for each text, as it stands in the answer."""
        probabilities = self.predictor.predict_proba(texts)
        verdicts = self.predictor.verdicts(texts, probabilities)
        self._count(verdicts)
        rows = np.round(probabilities.astype(np.float64), DECIMALS).tolist()
        labels = self.predictor.labels
        return [
            {
                "label": verdict,
                "reason": self.predictor.reason(text, verdict),
                "probabilities": dict(zip(labels, row, strict=True)),
                "explanation": None,
            }
            for text, verdict, row in zip(texts, verdicts, rows, strict=True)
        ]

    def explain(self, texts: Sequence[str]) -> list[Explanation]:
        """Explain predictions without torch: exactly for a bag of n-grams, else by occlusion."""
        method = "exact" if self.predictor.kind == "bow" else "occlusion"
        return list(explanations(self.predictor, texts, method=method, label=None))

    def info(self) -> ModelInfo:
        """Return the model's entry in /v1/models."""
        predictor = self.predictor
        return ModelInfo(
            name=self.name,
            kind=predictor.kind,
            labels=list(predictor.labels),
            size_bytes=predictor.size_bytes,
            parameters=predictor.num_parameters,
            calibration=predictor.calibration,
            digest=predictor.digest,
        )


def _seconds(predictor: Predictor) -> float:
    started = time.perf_counter()
    predictor.predict_proba(_TIMED)
    return time.perf_counter() - started


class ServedModels:
    """All models of a service by name; the first one is the default."""

    def __init__(
        self, models: Sequence[str], *, abstain_below: float, settings: ServeSettings, metrics: Metrics
    ) -> None:
        """Load `NAME`, `FOLDER` or `NAME=FOLDER`; BundleError if one is missing, SettingsError if a name repeats."""
        self._settings, self._metrics, self._abstain_below = settings, metrics, abstain_below
        self._sources: dict[str, str] = {}
        for name, source in map(parse_model, models):
            if name in self._sources:
                raise SettingsError(f"--model: two models are called {name}; rename one with --model NAME=FOLDER")
            self._sources[name] = source
        self.default = next(iter(self._sources))
        self.by_name = {name: self._load(name) for name in self._sources}
        for name, model in self.by_name.items():
            metrics.serves(name, kind=model.predictor.kind, digest=model.predictor.digest)
        self._explainer = ThreadPoolExecutor(1, "plaudit-explain", initializer=stay_on_this_thread)
        self._reloading = asyncio.Lock()
        self._explaining = 0

    def _load(self, name: str) -> ServedModel:
        predictor = load(self._sources[name], abstain_below=self._abstain_below)
        return ServedModel(name, predictor, settings=self._settings, metrics=self._metrics)

    async def explain(self, model: ServedModel, texts: Sequence[str]) -> list[Explanation]:
        """Explain texts on a thread of their own; Problem if too many requests wait for that."""
        if self._explaining >= self._settings.max_explaining:
            raise overloaded("too many explanations at once; try again in a second")
        self._explaining += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._explainer, model.explain, texts)
        finally:
            self._explaining -= 1

    async def reload(self) -> dict[str, str]:
        """Load every model again and replace the old one; return "new", "same" or why the old one was kept, by name."""
        outcomes = {}
        async with self._reloading:
            for name in self._sources:
                old = self.by_name[name]
                try:
                    new = await asyncio.to_thread(self._load, name)
                except Exception as error:  # whatever is wrong with the new one, the old one stays
                    outcomes[name] = f"kept: {error if isinstance(error, PlauditError) else repr(error)}"
                    continue
                self.by_name[name] = new
                self._metrics.serves(name, kind=new.predictor.kind, digest=new.predictor.digest)
                old.batcher.close()
                outcomes[name] = "same" if new.predictor.digest == old.predictor.digest else "new"
        return outcomes


def parse_model(model: str) -> tuple[str, str]:
    """Return the name and source of `NAME`, `FOLDER`, `hf://OWNER/NAME` or `NAME=` followed by one of them."""
    name, equals, folder = model.partition("=")
    if equals and name and "/" not in name:
        return name, folder
    if model.startswith(PREFIX):
        return split_reference(model)[0].partition("/")[2], model
    return model_folder(model).resolve().name, model
