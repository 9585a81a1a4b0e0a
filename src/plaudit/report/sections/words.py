"""The words that decide, label by label."""

from collections.abc import Sequence

from plaudit.report.document import Block, Paragraph, Section, Table, columns, literal
from plaudit.report.run_folder import RunFolder

NUM_WORDS = 12
MAX_LABELS = 20

_EXPLANATION = (
    "The weightiest come first: by their contribution to the log-odds of the label, summed over the training texts "
    "that have them. A word that has nothing to do with its label (a name, a date, a signature) shows what the model "
    "learned by accident. `plaudit explain` shows the same for one text."
)


def deciding_words(runs: Sequence[RunFolder]) -> Section:
    """A row for each label with the words that contribute most to it."""
    blocks: list[Block] = []
    for words in (run.words for run in runs if run.words is not None):
        labels = list(dict.fromkeys(word.label for word in words.words))[:MAX_LABELS]
        rows = tuple(
            (literal(label), ", ".join([literal(one.word) for one in words.words if one.label == label][:NUM_WORDS]))
            for label in labels
        )
        if rows:
            part = "the bag of n-grams in " if words.is_part else ""
            caption = f"What {part}{literal(words.model)} learned from {literal(words.data)}, in {words.n:,} texts"
            blocks.append(Table(caption, columns("Label", "Words that contribute most to it"), rows))
    return Section("words", "Which words decide", (*blocks, Paragraph(_EXPLANATION, is_quiet=True)) if blocks else ())
