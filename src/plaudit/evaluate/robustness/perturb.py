"""Perturbs reviews: typos, cut ends, other case, shuffled words."""

import hashlib
import random
import re
from collections.abc import Callable, Sequence

import numpy as np

from plaudit.evaluate.robustness.datasets import Reviews

TAG = re.compile(r"</?[A-Za-z][^<>]*>")
_WORD_OR_TAG = re.compile(rf"{TAG.pattern}|[^\W\d_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])(?=[\s<])|(?<=>)(?=[^<\s])")


def sample_evenly(reviews: Reviews, limit: int) -> Reviews:
    """Return at most `limit` evenly spaced reviews, so that a sorted split keeps its share of each label."""
    num = len(reviews.texts)
    rows = np.linspace(0, num - 1, min(limit, num)).round().astype(int).tolist()
    return reviews._replace(texts=[reviews.texts[i] for i in rows], labels=[reviews.labels[i] for i in rows])


def digest(reviews: Reviews, seed: int) -> str:
    """Return the sha256 of texts, labels and seed, which together determine the perturbed texts."""
    lines = (f"{label}\t{text}\n" for text, label in zip(reviews.texts, reviews.labels, strict=True))
    return hashlib.sha256(f"{seed}\n{''.join(lines)}".encode(errors="surrogatepass")).hexdigest()


def perturbed(texts: Sequence[str], change: str, seed: int) -> list[str]:
    """Apply one of CHANGES to each text; the same seed gives the same texts."""
    apply = CHANGES[change]
    return [apply(text, random.Random(f"{seed} {change} {i}")) for i, text in enumerate(texts)]


def words_of(text: str, *, min_letters: int) -> list[re.Match[str]]:
    """Return the words of at least `min_letters` letters; tags are not words."""
    return [match for match in _WORD_OR_TAG.finditer(text) if match[0][0] != "<" and len(match[0]) >= min_letters]


def misspell(text: str, words: Sequence[re.Match[str]], rng: random.Random) -> str:
    """Make a typo in each of these words, which are in order: swap a letter with the next, drop it or double it."""
    parts, end = [], 0
    for word in words:
        parts += [text[end : word.start()], _typo(word[0], rng)]
        end = word.end()
    return "".join([*parts, text[end:]])


def _typo(word: str, rng: random.Random) -> str:
    at = rng.randrange(len(word) - 1)
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    dropped = word[:at] + word[at + 1 :]
    doubled = word[: at + 1] + word[at:]
    return rng.choice([typo for typo in (swapped, dropped, doubled) if typo != word])


def _typos(share: float) -> Callable[[str, random.Random], str]:
    def add_typos(text: str, rng: random.Random) -> str:
        words = words_of(text, min_letters=2)
        chosen = sorted(rng.sample(range(len(words)), round(share * len(words))))
        return misspell(text, [words[i] for i in chosen], rng)

    return add_typos


def _first(share: float) -> Callable[[str, random.Random], str]:
    return lambda text, _: " ".join((words := text.split())[: max(1, round(share * len(words)))])


def _last(share: float) -> Callable[[str, random.Random], str]:
    return lambda text, _: " ".join((words := text.split())[-max(1, round(share * len(words))) :])


def _sentences_shuffled(text: str, rng: random.Random) -> str:
    sentences = [sentence.strip() for sentence in _SENTENCE_END.split(text)]
    rng.shuffle(sentences)
    return " ".join(sentences)


def _words_shuffled(text: str, rng: random.Random) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def _without_tags(text: str) -> str:
    return TAG.sub(" ", text)


def _without_punctuation(text: str) -> str:
    return re.sub(r"[^\w\s]|_", " ", re.sub(r"(?<=\w)['’](?=\w)", "", _without_tags(text)))


CHANGES: dict[str, Callable[[str, random.Random], str]] = {
    "as they are": lambda text, _: text,
    "typos in 2 % of words": _typos(0.02),
    "typos in 5 % of words": _typos(0.05),
    "typos in 10 % of words": _typos(0.1),
    "typos in 20 % of words": _typos(0.2),
    "first 50 % of words": _first(0.5),
    "first 25 % of words": _first(0.25),
    "first 10 % of words": _first(0.1),
    "last 50 % of words": _last(0.5),
    "last 25 % of words": _last(0.25),
    "last 10 % of words": _last(0.1),
    "upper case": lambda text, _: text.upper(),
    "lower case": lambda text, _: text.lower(),
    "title case": lambda text, _: text.title(),
    "tags removed": lambda text, _: _without_tags(text),
    "tags and punctuation removed": lambda text, _: _without_punctuation(text),
    "sentences shuffled": _sentences_shuffled,
    "words shuffled": _words_shuffled,
}
"""To add a change, add it here."""
