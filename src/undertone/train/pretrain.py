"""Language-model pretraining: an LSTM learns from unlabelled text what comes next, before it learns labels.

Each direction predicts the next word of its own reading order through the embedding that it reads with (Press & Wolf
2017), among words drawn from a log-uniform proposal whose odds are taken out again (sampled softmax, Jean et al. 2015).
The loop is that of all training; the classifier is left as it was.

Shapes: B batch, T tokens, E embedding, H hidden, V ids, K sampled words.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Self, Unpack, cast

import torch
from pydantic import Field, model_validator
from torch import nn

from undertone.errors import SettingsError
from undertone.models.corpus import Corpus, sorted_batches
from undertone.models.lstm import Direction, LSTMModel, LSTMNetwork
from undertone.models.torch_model import TorchModel
from undertone.text.encoded import FIRST_WORD_ID
from undertone.train.interrupt import Interruption
from undertone.train.loop import train_network
from undertone.train.objectives import Objective
from undertone.train.run import Run, identity_of, reviews_digest
from undertone.train.settings import TrainSettings, choose_device

_VALIDATION_BATCH_TOKENS = 2_048
_MAX_VALIDATION_TEXTS = 512
"""Held-out texts that validation reads: it scores all V words at each token, where a step scores but the sampled."""


class PretrainSettings(TrainSettings):
    """Settings of the `pretrain` table: those of training, and how many words a step draws."""

    num_samples: int = Field(default=1_024, ge=1)
    """Words that the true next word is told apart from, drawn anew each step."""

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        for name in ("label_smoothing", "ema_decay", "compile"):
            if getattr(self, name):
                raise ValueError(f"{name} is not for pretraining; leave it out")
        return self


def pretrain(
    model: TorchModel, settings: PretrainSettings, texts: Sequence[str], held_out: Sequence[str], **run: Unpack[Run]
) -> float:
    """Train the embedding and the LSTM layers in place; return the seconds it took.

    The weights kept are those that predict most next words of `held_out` right, or of 512 evenly spaced texts of it.
    SettingsError if the model is no LSTM.
    """
    if not isinstance(model, LSTMModel):
        raise SettingsError(f"pretrain is for kind lstm, not {model.settings.kind}; leave the table out")
    device = choose_device(settings)
    num_validated = min(len(held_out), _MAX_VALIDATION_TEXTS)
    validated = [held_out[i * len(held_out) // num_validated] for i in range(num_validated)]
    encoded, encoded_held_out = model.encode(texts), model.encode(validated)
    model.to(device)
    corpus = Corpus(encoded, device)
    network = cast(LSTMNetwork, model.network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run["seed"])
        objective = LanguageModel(network, num_samples=settings.num_samples, mean_length=float(corpus.lengths.mean()))
    position = train_network(
        model,
        corpus,
        HeldOut(Corpus(encoded_held_out, device), objective.to(device)),
        settings,
        objective=objective,
        identity={
            **identity_of(run["seed"], model=model.settings, pretrain=settings),
            "reviews": reviews_digest(encoded),
            "held-out reviews": reviews_digest(encoded_held_out),
        },
        title=f"{run['run_dir'].parent.name} language model",
        **run,
    )
    return position.seconds


class LanguageModel(Objective):
    """The loss of predicting each next word, summed over a review and divided by the mean number of words of one.

    Unknown words are read but not predicted: they are never drawn, so they would only ever become likelier.
    """

    def __init__(self, network: LSTMNetwork, *, num_samples: int, mean_length: float) -> None:
        super().__init__()
        num_ids, embedding_size = network.embedding.weight.shape
        hidden_size = cast(nn.LSTM, cast(Direction, network.directions[0]).layers[-1]).hidden_size
        self.projections = nn.ModuleList(nn.Linear(hidden_size, embedding_size) for _ in network.directions)
        self.bias = nn.Parameter(torch.zeros(num_ids))
        self.num_samples = num_samples
        self.mean_length = mean_length

    def forward(
        self, network: nn.Module, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, summed over the batch, and the share of right words, times B."""
        network = cast(LSTMNetwork, network)
        sampled, log_odds = self._sample(ids.device)
        loss = correct = torch.zeros((), device=ids.device)
        for projection, states, targets in self.readings(network, ids, mask):
            wanted = targets >= FIRST_WORD_ID
            queries = projection(states)
            to_sampled = (queries @ network.embedding.weight[sampled].t()).float() + self.bias[sampled]
            # A sampled word that is the true one would count as a wrong answer.
            to_sampled = to_sampled.masked_fill(targets[:, :, None] == sampled, float("-inf"))
            of_target = (queries * network.embedding.weight[targets]).sum(2).float() + self.bias[targets]
            # The true word is always there, so no odds are taken out of it: the sum estimates that over all words.
            losses = torch.logsumexp(torch.cat([of_target[:, :, None], to_sampled - log_odds], 2), 2) - of_target
            loss = loss + (losses * wanted).sum() / self.mean_length
            right = (of_target > to_sampled.max(2).values) & wanted
            correct = correct + right.sum() / wanted.sum().clamp(min=1) * len(ids)
        return loss / len(network.directions), correct / len(network.directions)

    def readings(
        self, network: LSTMNetwork, ids: torch.Tensor, mask: torch.Tensor
    ) -> Iterator[tuple[nn.Module, torch.Tensor, torch.Tensor]]:
        """Yield for each direction its projection to embeddings, its states, [T - 1, B, H], and the ids that come next,
        int64 [T - 1, B]."""
        orders = network.orders(ids, mask)
        for direction, projection, in_order in zip(network.directions, self.projections, orders, strict=True):
            states = cast(Direction, direction).states(network.embed(in_order))
            yield projection, states[:-1], in_order.t()[1:].long()

    def _sample(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw K word ids, the more often the lower, and return them with the log of how often each is expected."""
        num_words = len(self.bias) - FIRST_WORD_ID
        uniform = torch.rand(self.num_samples, device=device)
        words = (torch.exp(uniform * math.log(num_words + 1)) - 1).long().clamp(max=num_words - 1)
        sampled = words + FIRST_WORD_ID
        return sampled, self._log_odds(sampled)

    def _log_odds(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the log of the expected number of times that each id is among the K drawn."""
        num_words = len(self.bias) - FIRST_WORD_ID
        rank = (ids - FIRST_WORD_ID).float()
        return torch.log(self.num_samples * torch.log1p(1 / (rank + 1)) / math.log(num_words + 1))


class HeldOut:
    """Texts whose next words a language model is validated on, out of all that it knows."""

    def __init__(self, corpus: Corpus, objective: LanguageModel) -> None:
        self.corpus = corpus
        self.objective = objective

    def validate(
        self, network: nn.Module, dtype: torch.dtype, interruption: Interruption
    ) -> tuple[float, float] | None:
        """Return nats a word, the log of the perplexity, and the share of right words; None if interrupted."""
        network = cast(LSTMNetwork, network.eval())
        device = self.corpus.device
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        for batch in sorted_batches(self.corpus, _VALIDATION_BATCH_TOKENS):
            if interruption.requested:
                return None
            ids, mask = self.corpus.batch(torch.from_numpy(batch.rows).to(device), batch.width)
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16),
            ):
                for projection, states, next_ids in self.objective.readings(network, ids, mask):
                    wanted = next_ids >= FIRST_WORD_ID
                    targets = next_ids[wanted] - FIRST_WORD_ID
                    scores = projection(states[wanted]) @ network.embedding.weight[FIRST_WORD_ID:].t()
                    logits = scores.float() + self.objective.bias[FIRST_WORD_ID:]
                    loss = nn.functional.cross_entropy(logits, targets, reduction="sum")
                    right = (logits.argmax(1) == targets).sum()
                    sums += torch.stack([loss.double(), right.double(), wanted.sum().double()])
        loss_sum, right_sum, num_words = sums.tolist()
        return loss_sum / max(1, num_words), right_sum / max(1, num_words)
