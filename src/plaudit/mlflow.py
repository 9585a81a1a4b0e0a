"""Save, log and load models with MLflow, and log each training automatically.

    import plaudit.mlflow
    plaudit.mlflow.autolog()                             # each fit of a Classifier is logged to a run
    info = plaudit.mlflow.log_model(classifier, "model")
    mlflow.pyfunc.load_model(info.model_uri).predict(["A fine film that I will watch again."])

A logged model holds a model folder and no pickle, so it is as safe to load as any model folder (extra `mlflow`).
"""

import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plaudit
from plaudit.console import missing_extra
from plaudit.publishing import Trained, copy_bundle

try:
    import mlflow
    import mlflow.pyfunc
    from mlflow.entities import Metric, Param
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
    from mlflow.utils.autologging_utils import autologging_integration, safe_patch
except ImportError:
    raise missing_extra("mlflow", "plaudit.mlflow needs MLflow and pandas") from None

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

    from plaudit.classifier import Classifier

FLAVOR_NAME = "plaudit"
_BUNDLE = "bundle"
_REQUIREMENTS = "requirements.txt"
_TEXT_TO_LABEL = ModelSignature(
    inputs=Schema([ColSpec(DataType.string)]),
    outputs=Schema([ColSpec(DataType.string)]),
    params=ParamSchema([ParamSpec("probabilities", DataType.boolean, default=False)]),
)


def save_model(
    model: Trained,
    path: str | Path,
    *,
    mlflow_model: Model | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a fitted classifier, a shipped model or a model folder as an MLflow model into a new or empty folder."""
    folder = Path(path)
    if folder.exists() and any(folder.iterdir()):
        raise mlflow.exceptions.MlflowException(f"Path '{folder}' already exists and is not empty")
    meta = Model() if mlflow_model is None else mlflow_model
    meta.signature = meta.signature or _TEXT_TO_LABEL
    if metadata is not None:
        meta.metadata = dict(metadata)
    copy_bundle(model, folder / _BUNDLE)
    meta.add_flavor(FLAVOR_NAME, plaudit_version=plaudit.__version__, data=_BUNDLE)
    mlflow.pyfunc.add_to_model(meta, loader_module="plaudit.mlflow", data=_BUNDLE, python_env="python_env.yaml")
    requirements = [f"plaudit=={plaudit.__version__}", f"mlflow-skinny=={mlflow.__version__}", "pandas"]
    (folder / _REQUIREMENTS).write_text("\n".join(requirements) + "\n", encoding="utf-8")
    python_env = {"python": platform.python_version(), "dependencies": [f"-r {_REQUIREMENTS}"]}
    (folder / "python_env.yaml").write_text(json.dumps(python_env), encoding="utf-8")  # JSON is YAML, too
    meta.save(str(folder / "MLmodel"))


def log_model(
    model: Trained,
    name: str = "model",
    *,
    registered_model_name: str | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> "ModelInfo":
    """Log a model to the active run, or to a new one; the `model_uri` of what is returned loads it."""
    from plaudit import mlflow as flavor

    return Model.log(
        artifact_path=None,
        name=name,
        flavor=flavor,
        registered_model_name=registered_model_name,
        metadata=metadata,
        model=model,
    )


def load_model(model_uri: str | Path) -> "Classifier":
    """Return a logged or saved model as a fitted classifier; needs the extra `train`."""
    from plaudit.classifier import Classifier

    folder = mlflow.artifacts.download_artifacts(str(model_uri))
    return Classifier.load(Path(folder) / _BUNDLE)


class _Pyfunc:
    """The model that `mlflow.pyfunc` calls: it returns labels, or one column for each with `probabilities`."""

    def __init__(self, folder: Path) -> None:
        self._predictor = plaudit.load(folder)

    def predict(self, texts: Any, params: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
        if not (params or {}).get("probabilities"):
            return self._predictor.predict(texts)
        import pandas as pd

        return pd.DataFrame(self._predictor.predict_proba(texts), columns=list(self._predictor.labels))


def _load_pyfunc(path: str) -> _Pyfunc:
    return _Pyfunc(Path(path))


@autologging_integration(FLAVOR_NAME)  # type: ignore[untyped-decorator]  # mlflow has no types
def autolog(*, log_models: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Log each `Classifier.fit`: its parameters, the metrics of each epoch, and the model.

    The log goes to the active run or, if that has logged another fit already, as in a grid search, to a run nested in
    it. A failure of logging is a warning and never stops a training.
    """
    from plaudit.classifier import Classifier

    def fit(original: Callable[..., "Classifier"], self: "Classifier", *args: Any, **kwargs: Any) -> "Classifier":  # noqa: ANN401
        fitted = original(self, *args, **kwargs)
        run = mlflow.active_run()
        if "kind" in mlflow.get_run(run.info.run_id).data.params:
            with mlflow.start_run(nested=True):
                _log_fit(fitted, log_models)
        else:
            _log_fit(fitted, log_models)
        return fitted

    safe_patch(FLAVOR_NAME, Classifier, "fit", fit, manage_run=True)


def _log_fit(fitted: "Classifier", log_models: bool) -> None:
    manifest, run_id = fitted.bundle_.manifest, mlflow.active_run().info.run_id
    provenance = manifest.provenance
    assert provenance.recipe is not None
    (settings,) = provenance.recipe.models.values()
    params = {**settings, "kind": manifest.kind, "seed": provenance.seed, "labels": ", ".join(manifest.labels)}
    params["validation_fraction"] = provenance.data["validation_fraction"]
    flat = [Param(name, str(value)) for name, value in _flat(params).items()]
    client = mlflow.MlflowClient()
    for start in range(0, len(flat), 100):  # the limit of a server
        client.log_batch(run_id, params=flat[start : start + 100])
    now = mlflow.utils.time.get_current_time_millis()
    for event in fitted.history_:
        figures = {name: value for name, value in event.items() if name != "epoch" and isinstance(value, int | float)}
        client.log_batch(run_id, [Metric(name, value, now, event["epoch"]) for name, value in figures.items()])
    predictor = fitted.predictor_
    mlflow.log_metrics({"size_bytes": predictor.size_bytes, "num_parameters": predictor.num_parameters})
    for name in ("train_seconds", "validation_accuracy"):
        if (value := getattr(provenance, name)) is not None:
            mlflow.log_metric(f"final_{name}", value)
    if log_models:
        log_model(fitted)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return flat
