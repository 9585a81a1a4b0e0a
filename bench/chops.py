"""Is an LSTM trained faster on reviews that are chopped into 50 words (Johnson & Zhang 2016) than on whole ones?

    python bench/chops.py

One step of `nn.LSTM`, forward and backward in bf16 on one thread, over 8,000 words, however they are cut: the fewer
words a row has, the more rows are read at once. Writes docs/results/bench_chops.json.
"""

import json
import time
from pathlib import Path

import torch

from plaudit.evaluate.machine import code_version, cpu_name

OUT = Path(__file__).parent.parent / "docs" / "results" / "bench_chops.json"
SIZES = {"teacher": (256, 512), "student": (64, 48)}
NUM_WORDS = 8_000
WORDS_A_ROW = (800, 400, 200, 50)
NUM_ROUNDS = 12


def main():
    """Time every way in turn, round after round, and keep the fastest step of each."""
    torch.set_num_threads(1)
    ways = [(name, words) for name in SIZES for words in WORDS_A_ROW]
    seconds = dict.fromkeys(ways, float("inf"))
    networks = {name: torch.nn.LSTM(*sizes) for name, sizes in SIZES.items()}
    for _ in range(NUM_ROUNDS):
        for name, words in ways:
            vectors = torch.randn(words, NUM_WORDS // words, SIZES[name][0], requires_grad=True)
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16):
                states, _ = networks[name](vectors)
            states.float().square().mean().backward()
            seconds[name, words] = min(seconds[name, words], time.perf_counter() - start)
    rows = [
        {"lstm": name, "sizes": SIZES[name], "words_a_row": words, "tokens_per_second": round(NUM_WORDS / taken)}
        for (name, words), taken in seconds.items()
    ]
    for row in rows:
        print(f"{row['lstm']:8} {row['words_a_row']:4} words a row: {row['tokens_per_second']:>9,} tokens/s")
    content = {"cpu": cpu_name(), "torch": torch.__version__, "commit": code_version(), "rows": rows}
    OUT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
