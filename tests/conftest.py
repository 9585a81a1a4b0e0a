"""Tiny real objects that several folders of tests need."""

import csv
import random
import shutil
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from rich.console import Console

from plaudit.bundle.folder import save_bundle
from plaudit.bundle.trained import Provenance, RecipeExcerpt, TrainedModel
from plaudit.evaluate.results import Hardware, Latency, Result
from plaudit.evaluate.score import evaluate
from plaudit.models.bow.fit import fit_bow
from plaudit.models.bow.settings import BowSettings

# The first call of a compiled function takes seconds, and timed tests fail on a busy machine.
hypothesis.settings.register_profile("plaudit", deadline=None)
hypothesis.settings.load_profile("plaudit")


def pytest_collection_modifyitems(items):
    """Run slow tests first, the README's before all, so that no worker waits for a long one that began last."""
    items.sort(key=lambda item: (item.get_closest_marker("slow") is None, "test_readme" not in item.nodeid))


TELLING_WORDS = {"negative": "dull tedious awful boring weak", "positive": "moving lovely superb funny gripping"}
NEUTRAL_WORDS = "the film was a story about people and their dog in town"

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def toy_reviews(num_reviews):
    """Return (text, label) pairs: as many of each label, told apart by two of their words."""
    generator = random.Random(0)
    reviews = []
    for number in range(num_reviews):
        label = list(TELLING_WORDS)[number % 2]
        words = generator.choices(NEUTRAL_WORDS.split(), k=8) + generator.choices(TELLING_WORDS[label].split(), k=2)
        generator.shuffle(words)
        reviews.append((f"{' '.join(words)}, number {number}", label))
    return reviews


def toy_csv(path, num_reviews=60):
    """Write such reviews as a CSV file with the columns review and sentiment."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("review", "sentiment"), *toy_reviews(num_reviews)])
    return path


def toy_provenance(**data):
    """How a toy model came about, by a recipe with this data table."""
    return Provenance(train_seconds=0.1, recipe=RecipeExcerpt(name="toy", seed=0, data=data, models={}))


@pytest.fixture(scope="session")
def toy_bow():
    """A bow model that tells the toy reviews apart."""
    texts, labels = zip(*toy_reviews(60), strict=True)
    label_ids = np.array([list(TELLING_WORDS).index(label) for label in labels])
    settings = BowSettings(min_count=2, slot_bits=16)
    return fit_bow(settings, texts, label_ids, tuple(TELLING_WORDS), console=Console(quiet=True))


@pytest.fixture(scope="session")
def toy_bow_folder(toy_bow, tmp_path_factory) -> Path:
    """The same as a bundle."""
    folder = tmp_path_factory.mktemp("models") / "toy"
    save_bundle(
        TrainedModel(model=toy_bow, provenance=toy_provenance()).with_provenance(learned_validation=True), folder
    )
    return folder


@pytest.fixture
def short_timing(monkeypatch):
    """Let evaluations spend next to no time on measuring speed."""
    monkeypatch.setitem(evaluate.__kwdefaults__, "speed_seconds", 0.01)


@pytest.fixture
def toy_file(tmp_path) -> Path:
    """A CSV file of 60 toy reviews."""
    return toy_csv(tmp_path / "reviews.csv")


def result_with(**changes):
    values = {
        "model": "bow",
        "kind": "bow",
        "data": "imdb",
        "split": "test",
        "n": 10,
        "accuracy": 0.9,
        "accuracy_ci95": (0.6, 0.98),
        "f1": 0.9,
        "auc": 0.95,
        "log_loss": 0.3,
        "brier": 0.15,
        "ece": 0.02,
        "ci95": {"accuracy": (0.7, 1.0), "f1": (0.6, 1.0), "auc": None},
        "calibration": None,
        "data_digest": "d" * 64,
        "model_digest": "m" * 64,
        "reviews_per_second": 1e5,
        "latency_ms": Latency(p50=0.1, p99=0.3),
        "size_bytes": 2_000_000,
        "parameters": 500_000,
        "train_seconds": 30.5,
        "seed": 0,
        "recipe": {"kind": "bow", "max_order": 3},
        "hardware": Hardware(cpu="A processor", cores=2, cores_used=1.0, gpu=None),
        "commit": "abc",
        "labels": ("neg", "pos"),
        "confusion": ((4, 1), (0, 5)),
    }
    return Result.model_validate(values | changes)


def save_tiny_bert(folder, texts, **config):
    """Write a Hugging Face folder of a random BERT over the words of some texts, ids 2 and 3 around each; return it."""
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({word for text in texts for word in text.split()})]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(4)  # as folders ship it; the model's own settings must win
    tokenizer.enable_padding(length=4)
    tokenizer.save(str(folder / "tokenizer.json"))
    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "max_position_embeddings": 32,
    }
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(vocab_size=len(words), **sizes, **config)).save_pretrained(folder)
    return folder


@pytest.fixture
def make_result():
    """Return a function that makes a result with the fields it is given and plausible others."""
    return result_with


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium without a window, for pages."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    path = next((path for path in found if path), None)
    if path is None:
        pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS, headless=True)
        yield browser
        browser.close()
