"""Metrics: functions from labels and probabilities to a number. To add one, add it to METRICS.

They need only numpy, so that a base install can evaluate; tests compare them with scikit-learn.
Shapes: N reviews, C classes.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]
Probabilities = npt.NDArray[np.floating]

NUM_CONFIDENCE_BINS = 15
Z_95 = 1.959963984540054  # two-sided 95 % point of the normal distribution


def confusion(labels: Labels, predicted: Labels, num_classes: int) -> npt.NDArray[np.int64]:
    """Return counts, int64 [C, C]; rows are true labels, columns predicted ones."""
    pairs = labels.astype(np.int64) * num_classes + predicted
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def accuracy(labels: Labels, probabilities: Probabilities) -> float:
    """Return the share of reviews whose most probable label is the true one."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def f1(labels: Labels, probabilities: Probabilities) -> float:
    """Return the mean F1 over the classes that occur among the true or the predicted labels."""
    counts = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    occurrences = counts.sum(axis=0) + counts.sum(axis=1)
    return float(np.mean(2 * np.diag(counts)[occurrences > 0] / occurrences[occurrences > 0]))


def auc(labels: Labels, probabilities: Probabilities) -> float:
    """Return the area under the ROC curve; of more than two classes, the mean of each against the rest.

    A class that no review or every review has is left out of the mean; nan if that leaves none.
    """
    num_classes = probabilities.shape[1]
    scored = [1] if num_classes == 2 else range(num_classes)
    areas = [_area(labels == label, probabilities[:, label]) for label in scored]
    defined = [area for area in areas if not math.isnan(area)]
    return sum(defined) / len(defined) if defined else math.nan


def _area(positive: npt.NDArray[np.bool_], scores: Probabilities) -> float:
    """Area under the ROC curve by the rank-sum (Mann-Whitney) statistic, ties sharing their mean rank."""
    num_positive = int(positive.sum())
    num_pairs = num_positive * (len(positive) - num_positive)
    if num_pairs == 0:
        return math.nan
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = float(mean_ranks[inverse][positive].sum())
    return (rank_sum - num_positive * (num_positive + 1) / 2) / num_pairs


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Return the mean of -ln of the true label's probability, none of which counts as less than 1.2e-38."""
    of_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_truth, np.finfo(np.float32).tiny)).mean())


def brier(labels: Labels, probabilities: Probabilities) -> float:
    """Return the mean squared error of the probabilities, summed over the classes, 0 … 2 (Brier 1950)."""
    errors = probabilities.astype(np.float64)
    errors[np.arange(len(labels)), labels] -= 1
    return float((errors**2).sum(axis=1).mean())


def reliability(labels: Labels, probabilities: Probabilities) -> list[tuple[int, float, float]]:
    """Return (reviews, mean confidence, accuracy) of each bin of confidence that is not empty, in order.

    Confidence is the predicted label's probability; the bins are NUM_CONFIDENCE_BINS equal parts of (0, 1].
    """
    confidences = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    bins = np.clip(np.ceil(confidences * NUM_CONFIDENCE_BINS) - 1, 0, NUM_CONFIDENCE_BINS - 1)
    members = (bins == number for number in range(NUM_CONFIDENCE_BINS))
    return [
        (int(mask.sum()), float(confidences[mask].mean()), float(correct[mask].mean()))
        for mask in members
        if mask.any()
    ]


def ece(labels: Labels, probabilities: Probabilities) -> float:
    """Return the expected calibration error: the mean gap of accuracy and confidence (Guo et al. 2017)."""
    gaps = (count * abs(confidence - right) for count, confidence, right in reliability(labels, probabilities))
    return sum(gaps) / len(labels)


METRICS: dict[str, Callable[[Labels, Probabilities], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "auc": auc,
    "log_loss": log_loss,
    "brier": brier,
    "ece": ece,
}


def wilson_interval(share: float, num_trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a share observed in `num_trials` trials (Wilson 1927)."""
    spread = Z_95**2 / num_trials
    centre = (share + spread / 2) / (1 + spread)
    half_width = Z_95 / (1 + spread) * math.sqrt(share * (1 - share) / num_trials + spread / (4 * num_trials))
    return max(0.0, centre - half_width), min(1.0, centre + half_width)
