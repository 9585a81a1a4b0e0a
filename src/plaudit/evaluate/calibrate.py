"""Calibrates a finished model's probabilities on reviews that it has not learned from."""

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from plaudit.bundle.folder import load_bundle, save_bundle
from plaudit.bundle.trained import CalibratedOn
from plaudit.errors import SettingsError
from plaudit.evaluate.metrics import ece, log_loss
from plaudit.evaluate.score import labels_of_model
from plaudit.models.calibration import Method, fit_calibration


@dataclass(frozen=True)
class Calibrated:
    """Log loss in nats and expected calibration error, before and after, on the reviews used for calibration."""

    method: Method
    reviews: int
    log_loss: tuple[float, float]
    ece: tuple[float, float]


def calibrate(
    model: Path, out: Path, table: pa.Table, *, method: Method, label_names: tuple[str, ...], data: str, split: str
) -> Calibrated:
    """Write `model` as `out`, calibrated on the reviews of `table`. Needs the extra `train`.

    An earlier calibration is replaced. SettingsError if the model was fitted to these reviews or they are a test split,
    DataError if their labels are missing or unknown to it, OutputError if `out` exists.
    """
    bundle = load_bundle(model)
    if split == "test":
        raise SettingsError("--split test: calibrate on validation or on your own reviews, so that test stays unseen")
    is_its_own = Path(bundle.provenance.data.get("name", "")).name == data
    if is_its_own and (split in ("train", "all") or bundle.provenance.learned_validation):
        raise SettingsError(
            f"{model}: was trained on these reviews; train it with refit = false and calibrate on --split validation"
        )
    labels = labels_of_model(
        table, label_names, bundle.manifest.labels, where=f"{data}, {split}", model_name=str(model)
    )
    before = bundle.model.predict_proba(table["text"].to_pylist())
    calibration = fit_calibration(method, labels.tolist(), before)
    after = calibration.apply(before)
    calibrated = replace(bundle, calibration=calibration)
    save_bundle(calibrated.with_provenance(calibrated_on=CalibratedOn(data=data, split=split)), out)
    return Calibrated(
        method=method,
        reviews=len(labels),
        log_loss=(log_loss(labels, before), log_loss(labels, after)),
        ece=(ece(labels, before), ece(labels, after)),
    )
