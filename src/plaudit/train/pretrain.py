"""Language-model pretraining: an LSTM learns from unlabelled text what comes next, before it learns labels.

All texts make one long stream, a boundary between any two, cut into B streams of equal length. A step reads the
next T tokens of each, and the LSTM goes on from the state in which it left them (truncated back-propagation through
time), so it learns from what it read long before. Each direction predicts the next word of its own reading order
through the embedding that it reads with (Press & Wolf 2017), among words drawn without replacement, whose odds of
being drawn are taken out again (sampled softmax, Jean et al. 2015). The loop is that of all training; the classifier
is left as it was.

Shapes: B streams, T tokens, E embedding, H hidden, V ids, K sampled words, D directions, L layers.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from plaudit.bundle.trained import LanguageModelFigures, Provenance, TrainedModel
from plaudit.distributed.world import current
from plaudit.errors import SettingsError
from plaudit.models.corpus import Corpus, sorted_batches
from plaudit.models.lstm.network import Direction, LSTMModel, LSTMNetwork, drop_units
from plaudit.models.torch_model import TorchModel
from plaudit.text.encoded import FIRST_WORD_ID, PAD_ID, EncodedTexts
from plaudit.train.batches import TrainBatch
from plaudit.train.context import TrainingContext
from plaudit.train.device import choose_device
from plaudit.train.identity import identity_of, reviews_digest, state_digest
from plaudit.train.interrupt import Interruption
from plaudit.train.loop import Trainer
from plaudit.train.objectives import Objective
from plaudit.train.settings import PretrainSettings

_VALIDATION_BATCH_TOKENS = 2_048
_MAX_VALIDATION_TEXTS = 512
"""Held-out texts that validation reads: it scores all V words at each token, where a step scores but the sampled."""


def pretrain(
    model: TorchModel,
    settings: PretrainSettings,
    texts: Sequence[str],
    held_out: Sequence[str],
    context: TrainingContext,
    *,
    title: str = "language model",
) -> TrainedModel:
    """Train the embedding and the LSTM layers in place.

    The weights kept are those that predict most next words of `held_out` right, or of 512 evenly spaced texts of it.
    SettingsError if the model is no LSTM, or if the texts are too few for a step.
    """
    if not isinstance(model, LSTMModel):
        raise SettingsError(f"pretrain is for kind lstm, not {model.settings.kind}; leave the table out")
    if model.encoder.num_tokens < FIRST_WORD_ID + 2:
        raise SettingsError("pretrain needs two known words at least; lower min_count")
    device = choose_device(settings)
    num_validated = min(len(held_out), _MAX_VALIDATION_TEXTS)
    validated = [held_out[i * len(held_out) // num_validated] for i in range(num_validated)]
    encoded, encoded_held_out = model.encoder.encode(texts), model.encode(validated)
    model.to(device)
    network = cast(LSTMNetwork, model.network)
    world = current()
    streams = Streams(encoded, settings, from_end=network.from_end, seed=context.seed, device=device)
    if streams.num_streams < world.size:
        raise SettingsError(
            f"{world.size} ranks have {streams.num_streams} streams to read; raise pretrain.batch_tokens to "
            f"{world.size * settings.window_tokens} or more"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(context.seed)
        objective = LanguageModel(network, settings, num_streams=streams.num_streams).to(device)
    trainer = Trainer(
        model,
        streams,
        HeldOut(Corpus(encoded_held_out.share(world.rank, world.size), device), objective),
        settings,
        objective,
        replace(context, after_epoch=None),  # which is told of labels
        identity={
            **identity_of(context.seed, model=model.settings, pretrain=settings),
            "reviews": reviews_digest(encoded),
            "held-out reviews": reviews_digest(encoded_held_out),
            "starting weights": state_digest(model.state().tensors),
        },
        title=title,
    )
    trainer.run()
    figures = LanguageModelFigures(
        perplexity=math.exp(trainer.position.best_loss), accuracy=trainer.position.best_accuracy
    )
    provenance = Provenance(language_model=figures, train_seconds=trainer.position.seconds)
    return TrainedModel(model=model, provenance=provenance)


class Streams:
    """B streams of tokens on one device, read in windows of T: window w is the (w // B)-th of stream w % B.

    The texts follow one another in an order drawn from `seed`. What does not fill a last window of every stream is
    left out. SettingsError if there is not enough text for one window of each stream.
    """

    def __init__(
        self,
        encoded: EncodedTexts,
        settings: PretrainSettings,
        *,
        from_end: Sequence[bool],
        seed: int,
        device: torch.device,
    ) -> None:
        window = settings.window_tokens
        self.device = device
        self.num_streams = settings.batch_tokens // window
        num_steps = (len(encoded.ids) + len(encoded) - 1) // (self.num_streams * window)
        if num_steps < 1 or not len(encoded.ids):
            raise SettingsError(
                f"pretrain has {len(encoded.ids)} tokens to read, too few for a step of {settings.batch_tokens}; "
                "lower pretrain.batch_tokens"
            )
        self._window = window
        self._num_windows = num_steps * self.num_streams
        self._stream_tokens = num_steps * window
        joined = torch.from_numpy(_joined(encoded, np.random.default_rng(seed))).to(device)
        self._orders = [joined.flip(0) if turned else joined for turned in from_end]

    def __len__(self) -> int:
        """Return the number of windows."""
        return self._num_windows

    def plan(self, *, seed: int, epoch: int) -> list[TrainBatch]:
        """Return the windows in the order in which they have to be read, which is the same in every epoch."""
        steps = torch.split(torch.arange(self._num_windows, device=self.device), self.num_streams)
        return [TrainBatch(rows, self._window, len(rows) * self._window) for rows in steps]

    def batch(self, rows: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids, int32 [D · B, T + 1], of windows and the token after each, and a mask that is all True.

        The first B rows are for the first direction, the next ones for the second. One that reads from the end has the
        whole stream turned round.
        """
        starts = rows % self.num_streams * self._stream_tokens + rows // self.num_streams * width
        positions = starts[:, None] + torch.arange(width + 1, device=self.device)
        ids = torch.cat([order[positions] for order in self._orders])
        return ids, torch.ones_like(ids, dtype=torch.bool)


def _joined(encoded: EncodedTexts, random: np.random.Generator) -> npt.NDArray[np.int32]:
    """Return the ids of all texts in a random order, int32, PAD_ID after each."""
    order = random.permutation(len(encoded))
    lengths = encoded.lengths[order] + 1
    ends = np.cumsum(lengths)
    source = np.arange(ends[-1]) - np.repeat(ends - lengths - encoded.offsets[order], lengths)
    joined: npt.NDArray[np.int32] = encoded.ids[np.minimum(source, len(encoded.ids) - 1)]
    joined[ends - 1] = PAD_ID
    return joined


class LanguageModel(Objective):
    """The loss of predicting each next word: nats a word, summed over the windows of a step.

    Unknown words are read but not predicted: they are never drawn, so they would only ever become likelier. Nor are
    boundaries between texts.
    """

    carried: torch.Tensor
    """States that each stream was left in, float32 [D, L, 2, B, H]: hidden ones, then cells. Part of a checkpoint.
    Those of streams that another rank reads are zero."""

    def __init__(self, network: LSTMNetwork, settings: PretrainSettings, *, num_streams: int) -> None:
        super().__init__()
        num_ids, embedding_size = network.embedding.weight.shape
        layers = cast(Direction, network.directions[0]).layers
        hidden_size = cast(nn.LSTM, layers[-1]).hidden_size
        self.projections = nn.ModuleList(nn.Linear(hidden_size, embedding_size) for _ in network.directions)
        self.bias = nn.Parameter(torch.zeros(num_ids))
        self.register_buffer("carried", torch.zeros(len(network.directions), len(layers), 2, num_streams, hidden_size))
        self.num_samples = min(settings.num_samples, num_ids - FIRST_WORD_ID - 1)
        self.dropout = settings.dropout

    def forward(
        self, network: nn.Module, ids: torch.Tensor, mask: torch.Tensor, rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, summed over the B windows, and the share of right words among those drawn, times B.

        ids are [D · B, T + 1]: B windows for each direction, as it reads them.
        """
        network = cast(LSTMNetwork, network)
        sampled, log_odds = self._sample(ids.device)
        num_streams = self.carried.shape[3]
        streams = rows % num_streams
        loss = correct = torch.zeros((), device=ids.device)
        # Nothing precedes the first windows.
        states_before = self.carried[..., streams, :] * (rows >= num_streams)[:, None]
        states_after = []
        for direction, projection, in_order, before in zip(
            network.directions, self.projections, ids.chunk(len(network.directions)), states_before, strict=True
        ):
            words = drop_units(network.embedding(in_order[:, :-1].t()), self.dropout, training=self.training)
            states, after = cast(Direction, direction).run(words, before)
            states_after.append(after)
            queries = projection(drop_units(states, self.dropout, training=self.training))
            nats, right = self._losses(network.embedding.weight, queries, in_order.t()[1:], sampled, log_odds)
            loss, correct = loss + nats, correct + right
        self.carried = torch.zeros_like(self.carried).index_copy(3, streams, torch.stack(states_after).detach().float())
        scale = len(rows) / len(network.directions)
        return loss * scale, correct * scale

    def _losses(
        self,
        embedding: torch.Tensor,
        queries: torch.Tensor,
        targets: torch.Tensor,
        sampled: torch.Tensor,
        log_odds: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean nats a word and the share of right ones, of queries [T, B, E] and targets [T, B]."""
        queries, targets = queries.flatten(0, 1), targets.flatten().long()
        wanted = targets >= FIRST_WORD_ID
        of_target = (queries * embedding[targets]).sum(1).float() + self.bias[targets]
        to_sampled = (queries @ embedding[sampled].t()).float() + (self.bias[sampled] - log_odds)
        # A sampled word that is the true one would count as a wrong answer.
        place = torch.full((len(self.bias),), -1, device=targets.device)
        place[sampled] = torch.arange(len(sampled), device=targets.device)
        place_of_target = place[targets]
        nowhere_near = torch.where(place_of_target >= 0, -1e9, 0.0)
        to_sampled = to_sampled.scatter_add(1, place_of_target.clamp(min=0)[:, None], nowhere_near[:, None])
        # The true word is always there, so no odds are taken out of it: the sum estimates that over all words.
        losses = torch.logaddexp(torch.logsumexp(to_sampled, 1), of_target) - of_target
        right = of_target > to_sampled.detach().amax(1)
        num_words = wanted.sum().clamp(min=1)
        return (losses * wanted).sum() / num_words, (right & wanted).sum() / num_words

    def _sample(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw K distinct word ids, the more often the lower, and return them with the log of the odds of being drawn.

        Each word waits for an exponential time, of rate 1 / (rank + 1), and the K first ones are taken. Given the time
        of the next one, each is among them with probability 1 - exp(-rate · time), and dividing by that makes a sum
        over the sample an unbiased estimate of the sum over all words (Cohen & Kaplan 2007, "Summarizing data using
        bottom-k sketches").
        """
        num_words = len(self.bias) - FIRST_WORD_ID
        rates = 1 / torch.arange(1, num_words + 1, device=device)
        times = torch.empty(num_words, device=device).exponential_() / rates
        first, words = torch.topk(times, self.num_samples + 1, largest=False)
        words = words[:-1]
        return words + FIRST_WORD_ID, torch.log(-torch.expm1(-rates[words] * first[-1]))


class HeldOut:
    """Texts whose next words a language model is validated on, out of all that it knows."""

    def __init__(self, corpus: Corpus, objective: LanguageModel) -> None:
        self.corpus = corpus
        self.objective = objective

    def validate(self, network: nn.Module, dtype: torch.dtype, interruption: Interruption) -> torch.Tensor | None:
        """Return the nats of all words, how many of them are right, and their number; None if interrupted.

        Each text is read from its start, as a classifier does.
        """
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
                for projection, states, next_ids in self._readings(network, ids, mask):
                    wanted = next_ids >= FIRST_WORD_ID
                    targets = next_ids[wanted] - FIRST_WORD_ID
                    scores = projection(states[wanted]) @ network.embedding.weight[FIRST_WORD_ID:].t()
                    logits = scores.float() + self.objective.bias[FIRST_WORD_ID:]
                    loss = nn.functional.cross_entropy(logits, targets, reduction="sum")
                    right = (logits.argmax(1) == targets).sum()
                    sums += torch.stack([loss.double(), right.double(), wanted.sum().double()])
        return sums

    def _readings(
        self, network: LSTMNetwork, ids: torch.Tensor, mask: torch.Tensor
    ) -> Iterator[tuple[nn.Module, torch.Tensor, torch.Tensor]]:
        """Yield for each direction its projection to embeddings, its states, [T - 1, B, H], and the ids that come next,
        int64 [T - 1, B]."""
        orders = network.ids_by_direction(ids, mask)
        for direction, projection, in_order in zip(network.directions, self.objective.projections, orders, strict=True):
            states = cast(Direction, direction).states(network.embed(in_order))
            yield projection, states[:-1], in_order.t()[1:].long()
