"""Fit a model to what bench/distributed.py measured, predict many ranks on fast fabrics, and draw the measurements.

    python bench/distributed_costs.py [--measured FILE] [--out FILE] [--picture FILE]

The model: a step takes its time on the open link + bytes / (efficiency · bandwidth) + hops · latency. Efficiency and
latency are fitted to the steps over throttled links, where the error is stated. Bytes and hops grow with the
number of ranks R as ring algorithms do: an all-reduce sends 2 (R - 1) / R times its size in 2 (R - 1) hops, an
all-gather R - 1 shares in R - 1 hops. `local` sends the rows of words that any rank read: from three ranks on, all rows
are taken to be sent, which no number of ranks exceeds. Predictions keep each rank's work as it was and take the latency
of a fabric as given (--hop-microseconds), once for ranks as fast as those measured and once for ranks --faster times as
fast; they are extrapolations, from two ranks to hundreds.
"""

import argparse
import json
import shlex
import sys
from functools import cache
from pathlib import Path

import altair as alt
import numpy as np

from plaudit.distributed.exchange import local
from plaudit.distributed.exchange.quantized import BLOCK
from plaudit.models.lstm.network import LSTMNetwork
from plaudit.pipeline.recipe import read_recipe
from plaudit.pipeline.shipped import find_recipe

RECIPE = find_recipe("distributed")
RATES = {"1gbit": 1e9 / 8, "100mbit": 1e8 / 8}
FABRICS = {"100 Gbit/s": 100e9 / 8, "400 Gbit/s": 400e9 / 8}
GATHERED = {"top-k": 1.0, "rows": None}
"""Share of an exchange's bytes that is all-gathered; of rows it follows from the weights. The rest is reduced."""
BITS = {"fp32": 32, "bf16": 16} | {name: bits + 16 / BLOCK for name, bits in local.BITS.items()}
"""Bits of a number that `local` sends, including the scales of blocks."""
MESSAGES = {"rows": 4, "powersgd": 3, "local": 2}
"""Messages of a step; one by default."""


def main():
    """Fit, predict, write and draw."""
    arguments = parse_arguments()
    rows = json.loads(arguments.measured.read_text())["rows"]
    opened = {row["exchange"]: row for row in rows if row["link"] == "open"}
    throttled = [row for row in rows if row["link"] in RATES]
    fit = fitted(throttled, opened)
    errors = [
        abs(seconds(opened[r["exchange"]], *fit, RATES[r["link"]], 2) / r["seconds_per_step"] - 1) for r in throttled
    ]
    print(
        f"efficiency {fit[0]:.2f}, {fit[1] * 1e3:.2f} ms a hop; off by {np.mean(errors):.1%}, at most {max(errors):.1%}"
    )
    predictions = []
    for fabric, rate in FABRICS.items():
        for ranks in (8, 64, 512):
            for exchange, row in opened.items():
                for faster in (1, arguments.faster):
                    quick = {**row, "seconds_per_step": row["seconds_per_step"] / faster}
                    step = seconds(quick, fit[0], arguments.hop_microseconds * 1e-6, rate, ranks)
                    share = quick["seconds_per_step"] / step
                    predictions.append(
                        {
                            "fabric": fabric,
                            "ranks": ranks,
                            "exchange": exchange,
                            "faster": faster,
                            "efficiency": round(share, 4),
                        }
                    )
    content = {
        "command": shlex.join(["python", "bench/distributed_costs.py", *sys.argv[1:]]),
        "bandwidth_efficiency": round(fit[0], 4),
        "hop_seconds": round(fit[1], 6),
        "mean_error": round(float(np.mean(errors)), 4),
        "greatest_error": round(max(errors), 4),
        "predictions": predictions,
    }
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    picture(rows).save(arguments.picture)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, default=Path("docs/results/bench_distributed.json"))
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench_distributed_costs.json"))
    parser.add_argument("--picture", type=Path, default=Path("docs/distributed.svg"))
    parser.add_argument("--hop-microseconds", type=float, default=5.0, help="latency of a fabric")
    parser.add_argument("--faster", type=float, default=100.0, help="ranks so many times as fast as those measured")
    return parser.parse_args()


def sent(row, ranks):
    """Return the bytes that a rank sends at each step, and the hops that they take."""
    period = row["settings"].get("period", 1)
    gathered = GATHERED.get(row["exchange"], 0.0)
    if gathered is None:  # the rest is the LSTM's weights, in 16 bits
        gathered = 1 - min(1.0, 2 * num_other_weights() / row["bytes_per_step"])
    size = row["bytes_per_step"]
    if row["exchange"] == "local" and ranks > 2:
        size = num_weights() * BITS[row["settings"]["precision"]] / 8 / period
    reduced = (1 - gathered) * size * 2 * (ranks - 1) / ranks
    hops = (2 if gathered < 1 else 1) * (ranks - 1) * MESSAGES.get(row["exchange"], 1) / period
    return reduced + gathered * size * (ranks - 1), hops


@cache
def num_other_weights():
    """Return the number of weights of the recipe's LSTM that are not of its embedding."""
    network = LSTMNetwork(read_recipe(RECIPE).models["lstm"].model, num_tokens=2, num_classes=2)
    return sum(p.numel() for name, p in network.named_parameters() if "embedding" not in name)


def num_weights():
    """Return the number of all weights of the recipe's LSTM."""
    settings = read_recipe(RECIPE).models["lstm"].model
    return num_other_weights() + settings.vocabulary_size * settings.embedding_size


def seconds(row, efficiency, hop, rate, ranks):
    """Return a step's seconds over a link of `rate` bytes a second."""
    size, hops = sent(row, ranks)
    return row["seconds_per_step"] + size / (efficiency * rate) + hops * hop


def fitted(throttled, opened):
    """Return the share of a link's bandwidth that is used, and the seconds of a hop."""
    terms, extra = [], []
    for row in throttled:
        size, hops = sent(opened[row["exchange"]], 2)
        weight = 1 / row["seconds_per_step"]  # relative errors, so that the slowest link does not decide alone
        terms.append([weight * size / RATES[row["link"]], weight * hops])
        extra.append(weight * (row["seconds_per_step"] - opened[row["exchange"]]["seconds_per_step"]))
    slowness, hop = np.linalg.lstsq(np.array(terms), np.array(extra), rcond=None)[0]
    return 1 / float(slowness), max(0.0, float(hop))


def picture(rows):
    """Draw the seconds of an epoch by link and exchange."""
    shown = [row for row in rows if row["link"] is not None]
    order = [row["exchange"] for row in sorted(shown, key=lambda row: row["bytes_per_step"]) if row["link"] == "open"]
    return (
        alt.Chart(alt.Data(values=shown), width=520, height=220, title="Two ranks, an LSTM of four million weights")
        .mark_point(filled=True, size=90)
        .encode(
            x=alt.X("seconds_per_epoch:Q", title="seconds an epoch", scale=alt.Scale(type="log")),
            y=alt.Y("exchange:N", title=None, sort=order),
            color=alt.Color("link:N", title="link", scale=alt.Scale(range=["#0072B2", "#D55E00", "#009E73"])),
            shape=alt.Shape("link:N"),
        )
    )


if __name__ == "__main__":
    main()
