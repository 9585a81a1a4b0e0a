"""Measures reviews per second of one LSTM, from raw text, in three runtimes: Plaudit's, torch and ONNX Runtime.

    python bench/lstm_runtime.py [--data imdb] [--reviews 2000] [--out FILE]

All run in one process on one thread each; Plaudit's also on two. Weights are random but as large as trained ones, since
speed does not depend on them. Each batch has texts of nearly equal length, for all three. Every figure is the best of
several passes; torch and ONNX Runtime read fewer reviews, because they take longer.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from plaudit.bundle.export import export_model
from plaudit.data.load import DataSettings, load_dataset
from plaudit.device import has_bf16
from plaudit.evaluate.machine import code_version, cpu_name, num_cores
from plaudit.models.corpus import Corpus, sorted_batches
from plaudit.models.lstm.network import LSTMModel
from plaudit.models.lstm.runtime import LSTMRuntime
from plaudit.models.lstm.settings import LSTMSettings
from plaudit.models.torch_model import INFERENCE_BATCH_TOKENS
from plaudit.threads import VARIABLE

LABELS = ("negative", "positive")
SIZES = ((16, 32), (24, 48), (32, 32), (32, 64), (48, 64), (64, 64), (128, 128))
PASSES = 5
NUM_SINGLE = 300


def main():
    """Measure every size, print and write what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="imdb")
    parser.add_argument("--reviews", type=int, default=2_000)
    parser.add_argument("--out", type=Path, default=Path("docs/results/bench_lstm_runtime.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    texts = load_dataset(DataSettings(name=arguments.data)).table["text"].to_pylist()
    texts = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))[: arguments.reviews]]
    rows = []
    for hidden_size, embedding_size in SIZES:
        for bidirectional in (False, True):
            settings = LSTMSettings(embedding_size=embedding_size, hidden_size=hidden_size, bidirectional=bidirectional)
            rows.append(measure(settings, texts))
            print(json.dumps(rows[-1]), flush=True)
    content = {
        "command": shlex.join(["python", "bench/lstm_runtime.py", *sys.argv[1:]]),
        "data": arguments.data,
        "num_reviews": len(texts),
        "cpu": cpu_name(),
        "commit": code_version(),
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def measure(settings, texts):
    """Return reviews/s of each runtime for one size, and the latency of ours."""
    model = LSTMModel.create(settings, LABELS, texts, seed=0)
    with torch.no_grad():
        for parameter in model.network.directions.parameters():
            parameter.mul_(2)
    runtime = LSTMRuntime.from_state(model.settings, LABELS, model.state())
    few = texts[: max(1, len(texts) // 8)]
    os.environ[VARIABLE] = "1"
    runtime.logits(texts)  # leaves numpy's path behind, compiles
    row = {
        "hidden_size": settings.hidden_size,
        "embedding_size": settings.embedding_size,
        "directions": 1 + settings.bidirectional,
        "plaudit": rate(runtime.logits, texts),
    }
    single = [seconds_of(runtime.logits, [text]) for text in texts[:NUM_SINGLE]]
    row["plaudit_latency_ms"] = {f"p{p}": round(1e3 * float(np.percentile(single, p)), 3) for p in (50, 99)}
    if num_cores() > 1:
        os.environ[VARIABLE] = "2"
        row["plaudit_two_threads"] = rate(runtime.logits, texts)
        os.environ[VARIABLE] = "1"
    row["torch_fp32"] = rate(model.logits, few)
    if has_bf16(model.device):  # where it is emulated, a pass takes minutes
        with torch.autocast("cpu", torch.bfloat16):
            row["torch_bf16"] = rate(model.logits, few)
    session = onnx_session(model)
    row["onnx_runtime"] = rate(lambda batch: onnx_logits(session, model, batch), few)
    row["greatest_difference"] = float(np.abs(runtime.logits(few) - model.logits(few)).max())
    return row


def rate(logits, texts):
    """Return reviews a second: the best of several passes after one to warm up."""
    logits(texts)
    return round(len(texts) / min(seconds_of(logits, texts) for _ in range(PASSES)))


def seconds_of(logits, texts):
    """Return how long one call takes."""
    start = time.perf_counter()
    logits(texts)
    return time.perf_counter() - start


def onnx_session(model):
    """Export the model and open it with one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lstm.onnx"
        export_model(model, format="onnx", out=path, console=Console(quiet=True))
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def onnx_logits(session, model, texts):
    """Return logits of texts, cut into the batches that torch gets."""
    corpus = Corpus(model.encode(texts), torch.device("cpu"))
    result = np.empty((len(texts), len(LABELS)), np.float32)
    for planned in sorted_batches(corpus, INFERENCE_BATCH_TOKENS):
        ids, mask = corpus.batch(planned.rows, planned.width)
        (result[planned.rows],) = session.run(["logits"], {"ids": ids.long().numpy(), "mask": mask.numpy()})
    return result


if __name__ == "__main__":
    main()
