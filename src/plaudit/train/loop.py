"""The training loop of every torch model: a corpus and an objective in, the model's best weights out.

A step's randomness depends on seed and step number, the batches on seed and epoch, the learning rate on
progress. So a checkpoint is weights, optimizer and counters, and a run that was killed and resumed ends
with the same bits. Where many ranks train one model (`distributed/`), each goes through all of this with its share of
every batch, the first writes files, and a checkpoint also holds what each rank remembers for itself. (From three ranks
on, torch adds up in another order until it has rebuilt its buckets, so that bits may differ after a resumption.)
"""

import copy
import math
import time
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import nn

from plaudit.bundle.trained import Provenance, TrainedModel
from plaudit.device import measure_peak_flops, peak_memory_bytes
from plaudit.distributed.exchange.registry import make_exchange
from plaudit.distributed.stopwatch import RankSeconds, Stopwatch, bytes_sent
from plaudit.distributed.world import current
from plaudit.errors import TrainingError, TrainingInterruptedError
from plaudit.models.corpus import Batch
from plaudit.models.torch_model import TorchModel
from plaudit.storage import refuse_change
from plaudit.train.batches import Batches, rows_of_rank
from plaudit.train.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint
from plaudit.train.context import EpochEnd, TrainingContext
from plaudit.train.device import choose_precision
from plaudit.train.interrupt import Interruption
from plaudit.train.log import SilentLog, TrainingLog
from plaudit.train.objectives import Objective
from plaudit.train.optimizer import make_optimizer, set_learning_rate, update_average
from plaudit.train.settings import TrainSettings
from plaudit.train.state import Position, State, Sums
from plaudit.train.step import Inputs, Minimized, train_step
from plaudit.train.thread_choice import ThreadChoice
from plaudit.train.validation import Validation


def _compiled(network: nn.Module, settings: TrainSettings) -> nn.Module:
    if settings.compile == "cuda-graphs":
        return cast(nn.Module, torch.compile(network, mode="reduce-overhead", dynamic=False))
    return cast(nn.Module, torch.compile(network, dynamic=True)) if settings.compile else network


class Trainer:
    """Trains a model's network in place.

    `objective` is what is minimized on `batches`; its own weights, if it has any, are trained too. `identity` holds
    whatever must not change between start and resumption.
    """

    def __init__(
        self,
        model: TorchModel,
        batches: Batches,
        validation: Validation,
        settings: TrainSettings,
        objective: Objective,
        context: TrainingContext,
        *,
        identity: dict[str, Any],
        title: str,
    ) -> None:
        self.model, self.batches, self.validation = model, batches, validation
        self.settings, self.context, self.identity, self.title = settings, context, identity, title
        self.device = batches.device
        self.dtype = choose_precision(settings, self.device)
        self.world = current()
        self.stopwatch = Stopwatch(self.device)
        self.thread_choice = ThreadChoice()
        self.state = State(
            model.network,
            objective,
            average=copy.deepcopy(model.network) if settings.ema_decay else None,
            optimizer=make_optimizer(settings, model.network, objective),
            exchange=make_exchange(settings.exchange, self.world, self.stopwatch),
        )
        self.minimized = self.state.exchange.wrap(Minimized(_compiled(model.network, settings), objective))
        # What the device knows of the recent steps: loss, correct ones and gradient norms; and how many ranks were
        # asked to stop.
        self.device_sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        self.must_stop = False
        self.interruption = Interruption()
        self.log = SilentLog()
        self.rank_seconds = RankSeconds.none(self.world)  # of this epoch
        self.epoch_bytes = self.bytes_before = bytes_sent()
        self.flops_per_token = 6 * model.num_matmul_parameters
        self.peak_flops = measure_peak_flops(self.device, self.dtype)
        self.lap_start = time.perf_counter()

    @property
    def position(self) -> Position:
        """How far the training has come, and how well."""
        return self.state.position

    def run(self) -> TrainedModel:
        """Train, on from the checkpoint if there is one, and leave the network with the weights of its best epoch.

        SettingsError if `identity` has changed since; TrainingError if the loss is no longer a number;
        TrainingInterruptedError after Ctrl-C, once the state has been saved. What `after_epoch` raises ends it, too.
        """
        keep_bytes = self._restore()
        if self.world.is_first:
            self.log = TrainingLog(
                self.context.folder,
                self.context.console,
                title=self.title,
                epochs=self.settings.epochs,
                tensorboard=self.settings.tensorboard,
                keep_bytes=keep_bytes,
                step=self.position.step,
            )
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())), self.log, self.interruption:
            if self.position.step == 0:
                self._choose_threads()
            self.lap_start = time.perf_counter()
            while self.position.epoch < self.settings.epochs and not self._ran_out_of_patience():
                batches = self._begin_epoch()
                for batch in batches[self.position.batch :]:
                    inputs, usual_size = self._begin_step(batch, len(batches))
                    sums = train_step(
                        self.minimized,
                        self.state.optimizer,
                        inputs,
                        self.settings,
                        self.dtype,
                        usual_size=usual_size,
                        penalty=self.state.objective.penalty,
                        exchange=self.state.exchange,
                    )
                    self._end_step(batch, sums, len(batches))
                validated = self._end_epoch()
                self._save()
                if self.context.after_epoch is not None:
                    self.context.after_epoch(validated)
        self.thread_choice.use(self.thread_choice.most)
        self.model.network.load_state_dict(self.state.best_weights)
        self.model.network.eval()
        self.model.to(torch.device("cpu"))
        provenance = Provenance(
            validation_accuracy=self.position.best_accuracy,
            train_seconds=self.position.seconds,
            train=self.settings.model_dump(mode="json"),
        )
        return TrainedModel(model=self.model, provenance=provenance)

    def _begin_epoch(self) -> list[Batch]:
        """Return the batches of the epoch, those of before a resumption too."""
        batches = self.batches.plan(seed=self.context.seed, epoch=self.position.epoch)
        self.log.start_epoch(self.position.epoch, len(batches))
        self.state.network.train()
        self.world.sum_(torch.zeros(1, device=self.device))  # laps are of ranks that start together
        self.stopwatch.start()
        return batches

    def _choose_threads(self) -> None:
        """Choose how many threads to compute on, by steps that change nothing."""
        if self.device.type != "cpu" or self.world.size > 1:  # of many ranks, `launch` gives each its threads
            return
        began = time.perf_counter()
        batch = self.batches.plan(seed=self.context.seed, epoch=0)[0]
        ids, mask = self.batches.batch(batch.rows, batch.width)
        buffers = {name: buffer.clone() for name, buffer in self.state.objective.named_buffers()}

        def step_without_update() -> None:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16):
                loss, _ = self.minimized(ids, mask, batch.rows)
            loss.backward()
            self.state.optimizer.zero_grad(set_to_none=True)

        self.state.network.train()
        self.thread_choice.measure(step_without_update)
        for name, buffer in self.state.objective.named_buffers():
            buffer.copy_(buffers[name])
        self.position.seconds += time.perf_counter() - began

    def _begin_step(self, batch: Batch, num_batches: int) -> tuple[Inputs, float]:
        """Set learning rate and seed; return what this rank reads and the mean size of a batch, as `train_step` does.

        Ranks average their gradients, while that of the whole batch is their sum, so the size is one rank's share. With
        fewer reviews than ranks, one reads a review that another reads too; its share is infinite, so that it counts
        for nothing.
        """
        position = self.position
        progress = (position.epoch + position.batch / num_batches) / self.settings.epochs
        set_learning_rate(self.state.optimizer, self.settings, progress)
        # The first rank draws what a process alone would draw.
        randomness = np.random.SeedSequence((self.context.seed, position.step, self.world.rank))
        torch.manual_seed(int(randomness.generate_state(1)[0]))
        rows = rows_of_rank(batch.rows, self.world)
        usual_size = len(self.batches) / num_batches / self.world.size
        if len(rows) == 0:
            rows, usual_size = batch.rows[:1], math.inf
        return (*self.batches.batch(rows, batch.width), rows), usual_size

    def _end_step(self, batch: Batch, sums: torch.Tensor, num_batches: int) -> None:
        """Count a step; log, stop and save if it is time to."""
        state, position, settings = self.state, self.position, self.settings
        sums[:2] *= self.world.rank < len(batch.rows)  # an idle rank read a review of another
        self.device_sums[:3] += sums
        if state.average is not None:
            update_average(state.average, state.network, decay=settings.ema_decay, step=position.step)
        state.recent.reviews += len(batch.rows)
        state.recent.tokens += batch.num_tokens
        position.batch += 1
        position.step += 1
        if position.step % settings.log_every_steps == 0 or position.batch == num_batches:
            self._log_step()
        if self.must_stop or (self.interruption.requested and self.world.size == 1):
            self._stop()
        if position.step % settings.checkpoint_every_steps == 0:
            self._save()

    def _read_sums(self) -> None:
        """Move the device's sums and the clock's lap to `recent`; the one place where the host waits for
        the device, and, apart from their exchange, ranks for one another."""
        if self.interruption.requested:
            self.device_sums[3] = 1
        self.world.sum_(self.device_sums)
        loss, correct, gradient_norm, num_asked_to_stop = self.device_sums.tolist()
        self.must_stop = num_asked_to_stop > 0  # known to all ranks at the same step
        self.device_sums.zero_()
        now = time.perf_counter()
        seconds = now - self.lap_start
        self.lap_start = now
        self.state.position.seconds += seconds
        self.state.recent.add(Sums(loss, correct, gradient_norm / self.world.size, seconds=seconds))
        if not math.isfinite(loss) or not math.isfinite(gradient_norm):
            raise TrainingError(
                f"{self.context.folder}: the loss stopped being a number near step {self.state.position.step}; lower "
                f'max_learning_rate (now {self.settings.max_learning_rate:g}) or set precision = "fp32"'
            )

    def _log_step(self) -> None:
        self._read_sums()
        state = self.state
        figures = self._figures(state.recent, epoch=state.position.epoch + 1)
        if self.world.size > 1:
            seconds = self.stopwatch.read(self.world)
            self.rank_seconds = self.rank_seconds.plus(seconds)
            bytes_before, self.bytes_before = self.bytes_before, bytes_sent()
            figures |= {**seconds.shares(), "bytes_sent": self.bytes_before - bytes_before}
        self.log.step(state.position.batch, figures)
        state.epoch_sums.add(state.recent)
        state.recent = Sums()
        if self.thread_choice.has_changed(figures["tokens_per_second"]):
            self._choose_threads()
            self.lap_start = time.perf_counter()

    def _figures(self, sums: Sums, *, epoch: int) -> dict[str, Any]:
        tokens_per_second = sums.tokens / max(sums.seconds, 1e-9)
        return {
            "step": self.state.position.step,
            "epoch": epoch,
            "train_loss": sums.loss / sums.reviews,
            "train_accuracy": sums.correct / sums.reviews,
            "tokens_per_second": tokens_per_second,
            "share_of_peak": tokens_per_second * self.flops_per_token / (self.peak_flops * self.world.size),
            "seconds": self.state.position.seconds,
            "learning_rate": self.state.optimizer.param_groups[0]["lr"],
            "peak_memory_bytes": peak_memory_bytes(self.device),
            "threads": torch.get_num_threads(),
        }

    def _end_epoch(self) -> EpochEnd:
        state, position = self.state, self.state.position
        network = state.network if state.average is None else state.average
        figures = self._figures(state.epoch_sums, epoch=position.epoch + 1)
        if self.world.size > 1:
            figures |= {**self.rank_seconds.figures(), "bytes_sent": self.bytes_before - self.epoch_bytes}
            self.rank_seconds, self.epoch_bytes = RankSeconds.none(self.world), self.bytes_before
        state.exchange.synchronize()
        if state.average is not None and state.exchange.ranks_differ:
            self.world.mean_(state.average.parameters())
        # Ranks that were asked to stop say so when all do.
        interruption = self.interruption if self.world.size == 1 else Interruption()
        sums = self.validation.validate(network, self.dtype, interruption)
        if sums is None:
            self._stop()
        self.world.sum_(sums)
        loss, accuracy = (sums[:2] / sums[2].clamp(min=1)).tolist()
        self._read_sums()
        position.epochs_without_better += 1
        if accuracy > position.best_accuracy:
            position.best_accuracy = accuracy
            position.best_loss = loss
            position.epochs_without_better = 0
            state.best_weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        self.log.epoch(
            {**figures, "validation_loss": loss, "validation_accuracy": accuracy, "seconds": position.seconds}
        )
        position.epoch += 1
        position.batch = 0
        state.epoch_sums, state.recent = Sums(), Sums()
        return EpochEnd(position.epoch, position.step, accuracy, loss)

    def _ran_out_of_patience(self) -> bool:
        patience = self.settings.patience
        return patience is not None and self.state.position.epochs_without_better >= patience

    def _stop(self) -> NoReturn:
        self._save()
        raise TrainingInterruptedError(
            f"interrupted in epoch {self.state.position.epoch + 1} after step {self.state.position.step}; "
            f"{self.context.folder} holds the checkpoint: continue with --resume"
        )

    def _save(self) -> None:
        self._read_sums()
        content = self.state.content(self.world)
        if content is not None:
            outside = {
                "identity": self.identity,
                "metrics_bytes": self.log.size_bytes,
                "threads": self.thread_choice.threads,
            }
            save_checkpoint(self.context.folder, {**outside, **content})

    def _restore(self) -> int:
        """Take up what a checkpoint holds, if there is one; return the bytes of metrics.jsonl that belong to it."""
        if not self.context.resume:
            remove_checkpoint(self.context.folder)
        content = load_checkpoint(self.context.folder)
        if content is None:
            return 0
        refuse_change(self.context.folder, content["identity"], self.identity, of="training")
        self.state.restore(content, self.world, self.device)
        self.thread_choice.use(content["threads"])
        metrics_bytes: int = content["metrics_bytes"]
        return metrics_bytes
