"""Compares the training speed of one LSTM in a plain loop and in Plaudit's, at equal accuracy.

    python bench/train_lstm.py [--data imdb] [--seeds 3] [--epochs 1] [--plain-epochs 2] [--limit N] [--out FILE]

Both loops train the same model (two directions, max pooling) on the same word ids, one after the other on the
same threads. The plain loop pads every review to 400 tokens, takes batches of 64 and steps Adam in fp32 on
nn.Embedding, nn.LSTM(bidirectional=True), max, nn.Linear. Plaudit's is that of `plaudit train`: token-budget
batches of near-equal length, bf16 where the processor has it, fused AdamW, one-cycle schedule; its time
includes validation and checkpoints, the plain loop's does not. Each has its own learning rate, fixed
beforehand. The plain loop may take more epochs, since it learns less from each; so there are two ratios, of
reviews/s and of the seconds that each loop takes for all its epochs. Accuracy is that of
each run's best epoch on the validation reviews (split from train by movie).
"""

import argparse
import json
import shlex
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from plaudit.data.load import DataSettings, load_dataset
from plaudit.data.splits import prepare
from plaudit.evaluate.machine import cpu_name
from plaudit.models.corpus import Corpus
from plaudit.models.lstm.network import LSTMModel, LSTMSettings
from plaudit.text.encoded import PAD_ID
from plaudit.train.batches import ShuffledBatches
from plaudit.train.context import TrainingContext
from plaudit.train.loop import Trainer
from plaudit.train.objectives import LabelObjective
from plaudit.train.settings import ObjectiveSettings, TrainSettings
from plaudit.train.targets import Targets
from plaudit.train.validation import LabelledCorpus

MAX_TOKENS = 400
PLAIN_BATCH = 64
PLAIN_LEARNING_RATE = 1e-3
MODEL = LSTMSettings(
    vocabulary_size=30_000,
    max_tokens=MAX_TOKENS,
    truncation="tail",
    embedding_size=128,
    hidden_size=128,
    bidirectional=True,
    pooling=("max",),
    embedding_dropout=0.0,
    output_dropout=0.5,
)
CPU = torch.device("cpu")


def main():
    """Run both loops with every seed, print and write what came out."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    console = Console()
    data = DataSettings(name=arguments.data, limit=arguments.limit)
    splits = prepare(load_dataset(data, console=console), data)
    texts = {name: getattr(splits, name)["text"].to_pylist() for name in ("train", "validation")}
    labels = {name: getattr(splits, name)["label"].to_numpy().astype(np.int64) for name in texts}
    train = TrainSettings(
        epochs=arguments.epochs, max_learning_rate=3e-3, batch_tokens=20_480, checkpoint_every_steps=10**9
    )
    epochs = {"plain": arguments.plain_epochs, "ours": arguments.epochs}
    runs = []
    for seed in range(arguments.seeds):
        for loop in ("plain", "ours"):
            model = LSTMModel.create(MODEL, splits.labels, texts["train"], seed=seed)
            loop_settings = train.model_copy(update={"epochs": epochs[loop]})
            seconds, accuracy = LOOPS[loop](model, texts, labels, loop_settings, seed=seed, console=console)
            run = {
                "loop": loop,
                "seed": seed,
                "seconds": seconds,
                "reviews_per_second": epochs[loop] * len(texts["train"]) / seconds,
                "validation_accuracy": accuracy,
            }
            runs.append(run)
            console.print(run)
    result = summary(runs)
    console.print(result)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "command": shlex.join(["python", "bench/train_lstm.py", *sys.argv[1:]]),
        "data": splits.name,
        "num_train": len(texts["train"]),
        "num_validation": len(texts["validation"]),
        "epochs": epochs,
        "threads": arguments.threads,
        "plain_learning_rate": PLAIN_LEARNING_RATE,
        "plain_batch": PLAIN_BATCH,
        "model": MODEL.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
        "cpu": cpu_name(),
        "torch": torch.__version__,
        "runs": runs,
        **result,
    }
    arguments.out.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def parse_arguments():
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="imdb")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1, help="of ours")
    parser.add_argument("--plain-epochs", type=int, default=2, help="of the plain loop")
    parser.add_argument("--limit", type=int, default=None, help="train on so many reviews only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench_train_lstm.json"))
    return parser.parse_args()


class PlainNetwork(nn.Module):
    """The same layers as MODEL's, put together as in the tutorials."""

    def __init__(self, num_tokens):
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, MODEL.embedding_size, padding_idx=PAD_ID)
        self.lstm = nn.LSTM(MODEL.embedding_size, MODEL.hidden_size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(MODEL.output_dropout)
        self.classifier = nn.Linear(2 * MODEL.hidden_size, 2)

    def forward(self, ids):
        """Return logits [B, C] of padded ids [B, T]."""
        states, _ = self.lstm(self.embedding(ids))
        return self.classifier(self.dropout(states.max(1).values))


def train_plain(model, texts, labels, train, *, seed, console):
    """Train as in the tutorials: everything padded to one length, shuffled, fixed batches, Adam."""
    padded = {}
    for name in texts:
        encoded = model.encode(texts[name])
        ids, _ = Corpus(encoded, CPU).batch(torch.arange(len(encoded)), MAX_TOKENS)
        padded[name] = TensorDataset(ids, torch.from_numpy(labels[name]))
    torch.manual_seed(seed)
    network = PlainNetwork(model.encoder.num_tokens)
    loader = DataLoader(padded["train"], batch_size=PLAIN_BATCH, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=PLAIN_LEARNING_RATE)
    seconds, best_accuracy = 0.0, 0.0
    for _ in range(train.epochs):
        network.train()
        start = time.perf_counter()
        for batch, batch_labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(batch), batch_labels)
            loss.backward()
            optimizer.step()
        seconds += time.perf_counter() - start
        network.eval()
        with torch.inference_mode():
            correct = sum(
                int((network(batch).argmax(1) == batch_labels).sum())
                for batch, batch_labels in DataLoader(padded["validation"], batch_size=PLAIN_BATCH)
            )
        best_accuracy = max(best_accuracy, correct / len(padded["validation"]))
    return seconds, best_accuracy


def train_ours(model, texts, labels, train, *, seed, console):
    """Train with Plaudit's loop."""
    train_set, validation_set = (Corpus(model.encode(texts[name]), CPU) for name in texts)
    targets = Targets(labels["train"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            ShuffledBatches(train_set, max_tokens=train.batch_tokens),
            LabelledCorpus(validation_set, torch.from_numpy(labels["validation"])),
            train,
            LabelObjective(ObjectiveSettings(), targets, network=model.network, device=CPU),
            TrainingContext(seed, Path(folder), resume=False, console=console),
            identity={},
            title=f"ours, seed {seed}",
        )
        provenance = trainer.run().provenance
    return provenance.train_seconds, provenance.validation_accuracy


LOOPS = {"plain": train_plain, "ours": train_ours}


def summary(runs):
    """Return medians of speed, means of accuracy, and what follows from them."""
    speed, seconds, accuracy = {}, {}, {}
    for loop in LOOPS:
        of_loop = [run for run in runs if run["loop"] == loop]
        speed[loop] = statistics.median(run["reviews_per_second"] for run in of_loop)
        seconds[loop] = statistics.median(run["seconds"] for run in of_loop)
        accuracy[loop] = statistics.mean(run["validation_accuracy"] for run in of_loop)
    return {
        "reviews_per_second": speed,
        "seconds": seconds,
        "validation_accuracy": accuracy,
        "ratio_of_reviews_per_second": speed["ours"] / speed["plain"],
        "ratio_of_seconds": seconds["plain"] / seconds["ours"],
        "accuracy_difference_points": 100 * (accuracy["ours"] - accuracy["plain"]),
    }


if __name__ == "__main__":
    main()
