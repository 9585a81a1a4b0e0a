"""Compare how long ranks wait for the slowest with batches of DistributedSampler and with ours, on real lengths.

    python bench/idle_ranks.py [--ranks 2 4 8] [--batch 32] [--out FILE]

Times training steps of the LSTM of the recipe distributed for many shapes of batches on one thread, and fits
seconds = a + b · width + c · rows · width to them. With that, it simulates an epoch of IMDB's train
reviews: the usual way, where each rank draws its own random reviews and pads them to the longest of them; and ours,
where all ranks share batches of reviews of nearly equal length. Only shapes differ, so the share of time that
ranks are idle is due to batches alone; bench/distributed.py measures two real ranks. Once with reviews cut
to the recipe's max_tokens, where nearly every batch of theirs holds a review that long, and once with whole reviews.
"""

import argparse
import json
import shlex
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DistributedSampler

from plaudit.data.load import load_dataset
from plaudit.data.splits import prepare
from plaudit.distributed.world import World
from plaudit.evaluate.machine import cpu_name
from plaudit.models.lstm.network import LSTMModel
from plaudit.pipeline.recipe import read_recipe
from plaudit.pipeline.shipped import find_recipe
from plaudit.train.batches import plan_epoch, rows_of_rank
from plaudit.train.device import choose_precision
from plaudit.train.objectives import LabelObjective
from plaudit.train.optimizer import make_optimizer
from plaudit.train.settings import ObjectiveSettings
from plaudit.train.step import Minimized, train_step
from plaudit.train.targets import Targets

RECIPE = find_recipe("distributed")
SHAPES = [(rows, width) for width in (48, 104, 200, 296, 400) for rows in (4, 8, 16, 32, 64) if rows * width <= 16_384]
CPU = torch.device("cpu")


def idle_share(costs: npt.NDArray[np.float64]) -> float:
    """Return the share of all ranks' time that is spent waiting for the slowest: costs are seconds, [steps, ranks]."""
    slowest = costs.max(axis=1).sum()
    return float(1 - costs.sum() / (slowest * costs.shape[1]))


def main():
    """Measure the costs, simulate the epochs; print and write the results."""
    arguments = parse_arguments()
    recipe = read_recipe(RECIPE)
    entry = recipe.models["lstm"]
    splits = prepare(load_dataset(recipe.data), recipe.data)
    texts = splits.train["text"].to_pylist()
    model = LSTMModel.create(entry.model, splits.labels, texts, seed=0)
    whole = model.encoder.encode(texts).lengths
    torch.set_num_threads(1)
    measured = {shape: step_seconds(model, entry.train, *shape, arguments.repeats) for shape in SHAPES}
    fit, error = fitted(measured)
    print(f"seconds = {fit[0]:.2e} + {fit[1]:.2e} width + {fit[2]:.2e} rows width, off by {error:.1%} on average")
    rows = []
    for max_tokens in (entry.model.max_tokens, None):
        lengths = np.clip(whole, 1, max_tokens)
        for size in arguments.ranks:
            row = {"max_tokens": max_tokens, "ranks": size}
            plans = {
                "distributed_sampler": sampled(lengths, size, arguments.batch),
                "ours": planned(lengths, size, arguments.tokens),
            }
            for name, shapes in plans.items():
                row[f"{name}_idle_share"] = round(idle_share(cost(fit, shapes)), 4)
                row[f"{name}_padding_share"] = round(1 - lengths.sum() / shapes.prod(-1).sum(), 4)
            rows.append(row)
            print(row)
    content = {
        "command": shlex.join(["python", "bench/idle_ranks.py", *sys.argv[1:]]),
        "recipe": RECIPE.name,
        "cpu": cpu_name(),
        "torch": version("torch"),
        "batch_of_theirs": arguments.batch,
        "batch_tokens_of_ours_per_rank": arguments.tokens,
        "fit_error": round(error, 4),
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--batch", type=int, default=32, help="reviews of each rank's batch, theirs")
    parser.add_argument("--tokens", type=int, default=4_096, help="tokens of each rank's share of a batch, ours")
    parser.add_argument("--repeats", type=int, default=7, help="steps timed of each shape, of which the median counts")
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench_idle_ranks.json"))
    return parser.parse_args()


def step_seconds(model, train, rows, width, repeats):
    objective = LabelObjective(
        ObjectiveSettings(), Targets(np.zeros(rows, np.int64)), network=model.network, device=CPU
    )
    minimized, optimizer = Minimized(model.network, objective), make_optimizer(train, model.network)
    ids = torch.randint(2, model.encoder.num_tokens, (rows, width), dtype=torch.int32)
    batch = (ids, torch.ones_like(ids, dtype=torch.bool), torch.arange(rows))
    seconds = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        train_step(minimized, optimizer, batch, train, choose_precision(train, CPU), usual_size=rows)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])


def fitted(measured):
    """Return a, b and c, and the mean relative error at the shapes measured."""
    shapes = np.array(list(measured), dtype=float)
    seconds = np.array(list(measured.values()))
    terms = np.stack([np.ones(len(shapes)), shapes[:, 1], shapes.prod(1)], axis=1)
    # Relative errors, so that the largest shapes do not decide alone.
    fit = np.linalg.lstsq(terms / seconds[:, None], np.ones(len(seconds)), rcond=None)[0]
    return fit, float(np.abs(terms @ fit / seconds - 1).mean())


def cost(fit, shapes):
    """Return seconds, [steps, ranks], of shapes [steps, ranks, 2]."""
    return fit[0] + fit[1] * shapes[..., 1] + fit[2] * shapes.prod(-1)


def sampled(lengths, size, batch):
    """Return each rank's rows and width at each step, as DistributedSampler and padding to the longest make them."""
    shapes = []
    for rank in range(size):
        order = np.array(list(DistributedSampler(range(len(lengths)), size, rank, seed=0)))
        parts = [order[start : start + batch] for start in range(0, len(order), batch)]
        shapes.append([(len(part), lengths[part].max()) for part in parts])
    return np.array(shapes, dtype=float).transpose(1, 0, 2)


def planned(lengths, size, tokens):
    """Return each rank's rows and width at each step of our plan."""
    worlds = [World() for _ in range(size)]
    for rank, world in enumerate(worlds):
        world.rank, world.size = rank, size
    plan = plan_epoch(lengths, max_tokens=tokens * size, seed=0, epoch=0, device=CPU)
    return np.array([[(len(rows_of_rank(b.rows, w)), b.width) for w in worlds] for b in plan], dtype=float)


if __name__ == "__main__":
    main()
