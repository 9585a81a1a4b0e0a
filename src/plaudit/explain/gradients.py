"""Integrated gradients of an LSTM (Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks"), with Captum.

The path leads, in the space of word vectors, from a text of as many unknown words, which the model has learned to read,
to the text itself.

Shapes: S steps, T tokens, E embedding.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from plaudit.console import needs_extra
from plaudit.models.base import Model, ModelState
from plaudit.models.lstm.runtime import LSTMRuntime
from plaudit.text.encoded import UNKNOWN_ID, EncodedTexts

if TYPE_CHECKING:
    import torch

    from plaudit.models.lstm.network import LSTMModel
    from plaudit.models.lstm.settings import LSTMSettings

STEPS = 64
"""Points of the Gauss-Legendre sum that approximates the integral."""

_BATCH_TOKENS = 16_384


def trainable(model: Model) -> "LSTMModel":
    """Return the same model in torch; MissingExtraError without torch or Captum."""
    with needs_extra("explain", "method gradients"):
        import captum.attr  # noqa: F401

        from plaudit.models.lstm.network import LSTMModel

    if isinstance(model, LSTMRuntime):
        state = ModelState(dict(model.weights), model.vocabulary.files())
        return LSTMModel.from_state(model.settings, model.labels, state)
    return cast(LSTMModel, model)


def integrated_gradients(
    model: "LSTMModel", text: str, label: int, num_words: int, *, steps: int = STEPS
) -> tuple[npt.NDArray[np.float64], float]:
    """Return the contribution of each of a text's words, float64 [num_words], and the log-odds of the baseline.

    Both are in log-odds of a label against the rest. A word that is unknown or cut off contributes 0.
    """
    import torch
    from captum.attr import IntegratedGradients

    encoded = model.encode([text])
    ids = torch.from_numpy(encoded.ids).to(model.device)[None]
    network, embedding = model.network, cast(torch.nn.Embedding, model.network.embedding)
    was_training = network.training
    network.eval()
    embedded = embedding(ids).detach().requires_grad_()
    baseline = embedding(torch.full_like(ids, UNKNOWN_ID)).detach()
    log_odds = _log_odds_of_vectors(model, label)
    attributions = IntegratedGradients(log_odds).attribute(
        embedded,
        baselines=baseline,
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=max(1, _BATCH_TOKENS // ids.shape[1]),
    )
    with torch.no_grad():
        rest = float(log_odds(baseline))
    network.train(was_training)
    contributions = np.zeros(num_words)
    contributions[_read_places(model, num_words)] = attributions.detach().sum(2)[0].double().cpu().numpy()[:num_words]
    return contributions, rest


def _log_odds_of_vectors(model: "LSTMModel", label: int) -> "Callable[[torch.Tensor], torch.Tensor]":
    """Return a function from word vectors, [S, T, E], to log-odds of a label against the rest, [S]."""
    import torch

    network, settings = model.network, cast("LSTMSettings", model.settings)
    others = [i for i in range(len(model.labels)) if i != label]

    def log_odds(vectors: torch.Tensor) -> torch.Tensor:
        in_order = vectors.transpose(0, 1)
        # All texts have the same length, so nothing is padded, and reading from the end is the reverse order.
        mask = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device)
        orders = [in_order.flip(0) if from_end else in_order for from_end in settings.from_end]
        logits: torch.Tensor = network.classify(network.encode(orders, mask))  # type: ignore[operator]  # of LSTMNetwork
        return logits[:, label] - logits[:, others].logsumexp(1)

    return log_odds


def _read_places(model: "LSTMModel", num_words: int) -> npt.NDArray[np.int32]:
    """Return which words of a text with `num_words` words the model reads."""
    settings = cast("LSTMSettings", model.settings)
    places = EncodedTexts(np.arange(num_words, dtype=np.int32), np.array([0, num_words]))
    return places.truncated(settings.max_tokens, settings.truncation).ids
