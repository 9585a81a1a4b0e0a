"""A language model for pretraining: its stream of text, its sampled-softmax loss, and its validation.

All texts make one long stream, with a boundary between any two, cut into B streams of equal length. A step reads the
next T tokens of each stream and starts from the states in which the step before left it (truncated back-propagation
through time), so the LSTM learns from text further back. Each direction predicts the next word in its own reading order
with the embedding that it reads with (Press & Wolf 2017). It chooses among words drawn without replacement, and
corrects their scores for the probability of being drawn (sampled softmax, Jean et al. 2015).

Shapes: B streams, T tokens, E embedding, H hidden, V ids, K sampled words, D directions, L layers.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from plaudit.errors import SettingsError
from plaudit.models.corpus import Batch, Corpus, sorted_batches
from plaudit.models.lstm.network import Direction, LSTMNetwork, drop_units
from plaudit.text.encoded import FIRST_WORD_ID, PAD_ID, EncodedTexts
from plaudit.train.interrupt import Interruption
from plaudit.train.objectives import Objective
from plaudit.train.settings import PretrainSettings

_VALIDATION_BATCH_TOKENS = 2_048


class Streams:
    """B streams of tokens on one device, read in windows of T: window w is the (w // B)-th of stream w % B.

    The texts follow one another in an order drawn from `seed`. Tokens that do not fill a last window of every stream
    are left out. SettingsError if there is not enough text for one window of each stream.
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
        self._orders = [joined.flip(0) if is_reversed else joined for is_reversed in from_end]

    def __len__(self) -> int:
        """Return the number of windows."""
        return self._num_windows

    def plan(self, *, seed: int, epoch: int) -> list[Batch]:
        """Return the windows in reading order, which is the same in every epoch."""
        steps = torch.split(torch.arange(self._num_windows, device=self.device), self.num_streams)
        return [Batch(rows, self._window, len(rows) * self._window) for rows in steps]

    def batch(self, rows: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids, int32 [D · B, T + 1], of windows and the token after each, and a mask that is all True.

        The first B rows are for the first direction, the next B for the second. A direction that reads from the end
        reads the whole stream reversed.
        """
        starts = rows % self.num_streams * self._stream_tokens + rows // self.num_streams * width
        positions = starts[:, None] + torch.arange(width + 1, device=self.device)
        ids = torch.cat([tokens[positions] for tokens in self._orders])
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
    """The loss of predicting each next word: nats per word, summed over the windows of a step.

    Unknown words are read but not predicted: they are never sampled, so their scores would only ever rise. Boundaries
    between texts are not predicted either.
    """

    carried: torch.Tensor
    """Each stream's states after its last window, float32 [D, L, 2, B, H]: hidden states, then cells. Part of a
    checkpoint. Zero for streams that another rank reads."""

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
        """Return the loss, summed over the B windows, and the share of correct words among those sampled, times B.

        ids are [D · B, T + 1]: B windows for each direction, in its reading order.
        """
        network = cast(LSTMNetwork, network)
        sampled, log_odds = self._sample(ids.device)
        initial = self._initial_states(rows)
        loss = correct = torch.zeros((), device=ids.device)
        final = []
        for i, window_ids in enumerate(ids.chunk(len(network.directions))):
            words = self._drop(network.embedding(window_ids[:, :-1].t()))
            states, end = cast(Direction, network.directions[i]).run(words, initial[i])
            queries = self.projections[i](self._drop(states))
            nats, share = self._losses(network.embedding.weight, queries, window_ids.t()[1:], sampled, log_odds)
            loss, correct = loss + nats, correct + share
            final.append(end)
        self._carry(rows, torch.stack(final))
        scale = len(rows) / len(network.directions)
        return loss * scale, correct * scale

    def _drop(self, states: torch.Tensor) -> torch.Tensor:
        return drop_units(states, self.dropout, training=self.training)

    def _initial_states(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the states, [D, L, 2, B, H], that precede windows `rows`: zeros before the first of a stream."""
        num_streams = self.carried.shape[3]
        return self.carried[..., rows % num_streams, :] * (rows >= num_streams)[:, None]

    def _carry(self, rows: torch.Tensor, states: torch.Tensor) -> None:
        streams = rows % self.carried.shape[3]
        self.carried = torch.zeros_like(self.carried).index_copy(3, streams, states.detach().float())

    def _losses(
        self,
        embedding: torch.Tensor,
        queries: torch.Tensor,
        targets: torch.Tensor,
        sampled: torch.Tensor,
        log_odds: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean nats per word and the share of correct ones, given queries [T, B, E] and targets [T, B]."""
        queries, targets = queries.flatten(0, 1), targets.flatten().long()
        is_known = targets >= FIRST_WORD_ID
        target_scores = (queries * embedding[targets]).sum(1).float() + self.bias[targets]
        sampled_scores = (queries @ embedding[sampled].t()).float() + (self.bias[sampled] - log_odds)
        sampled_scores = self._without_targets(sampled_scores, sampled, targets)
        # The target is always scored, so its score needs no correction: the sum estimates the sum over all words.
        losses = torch.logaddexp(torch.logsumexp(sampled_scores, 1), target_scores) - target_scores
        is_correct = target_scores > sampled_scores.detach().amax(1)
        num_words = is_known.sum().clamp(min=1)
        return (losses * is_known).sum() / num_words, (is_correct & is_known).sum() / num_words

    def _without_targets(self, scores: torch.Tensor, sampled: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Push a sampled word's score far down where that word is the target, which is not a wrong answer."""
        column = torch.full((len(self.bias),), -1, device=targets.device)
        column[sampled] = torch.arange(len(sampled), device=targets.device)
        target_columns = column[targets]
        penalty = torch.where(target_columns >= 0, -1e9, 0.0)
        return scores.scatter_add(1, target_columns.clamp(min=0)[:, None], penalty[:, None])

    def _sample(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw K distinct word ids, low ids more often, and return them with the log of their probability to be drawn.

        Each word gets an exponential time of rate 1 / (rank + 1), and the K first words are drawn. Given the time of
        the word after them, each is drawn with probability 1 - exp(-rate · time); dividing by that makes a sum over the
        sample an unbiased estimate of the sum over all words (Cohen & Kaplan 2007, "Summarizing data using bottom-k
        sketches").
        """
        num_words = len(self.bias) - FIRST_WORD_ID
        rates = 1 / torch.arange(1, num_words + 1, device=device)
        times = torch.empty(num_words, device=device).exponential_() / rates
        first, words = torch.topk(times, self.num_samples + 1, largest=False)
        words = words[:-1]
        return words + FIRST_WORD_ID, torch.log(-torch.expm1(-rates[words] * first[-1]))


class HeldOut:
    """Validates a language model: each next word of held-out texts, among all known words."""

    def __init__(self, corpus: Corpus, objective: LanguageModel) -> None:
        self.corpus = corpus
        self.objective = objective

    def validate(self, network: nn.Module, dtype: torch.dtype, interruption: Interruption) -> torch.Tensor | None:
        """Return the nats of all words, the number of correct ones, and their number; None if interrupted.

        Each text is read from its start, as a classifier does.
        """
        network = cast(LSTMNetwork, network.eval())
        device = self.corpus.device
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        for batch in sorted_batches(self.corpus, _VALIDATION_BATCH_TOKENS):
            if interruption.requested:
                return None
            ids, mask = self.corpus.batch(batch.rows, batch.width)
            with (
                torch.inference_mode(),
                torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16),
            ):
                for logits, targets in self._predictions(network, ids, mask):
                    loss = nn.functional.cross_entropy(logits, targets, reduction="sum")
                    num_correct = (logits.argmax(1) == targets).sum()
                    num_words = torch.full_like(loss, len(targets))
                    sums += torch.stack([loss.double(), num_correct.double(), num_words.double()])
        return sums

    def _predictions(
        self, network: LSTMNetwork, ids: torch.Tensor, mask: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield, for each direction, the logits of all known words wherever the next word is known, and that word."""
        for i, ordered in enumerate(network.ids_by_direction(ids, mask)):
            states = cast(Direction, network.directions[i]).states(network.embed(ordered))[:-1]
            next_ids = ordered.t()[1:].long()
            is_known = next_ids >= FIRST_WORD_ID
            scores = self.objective.projections[i](states[is_known]) @ network.embedding.weight[FIRST_WORD_ID:].t()
            yield scores.float() + self.objective.bias[FIRST_WORD_ID:], next_ids[is_known] - FIRST_WORD_ID
