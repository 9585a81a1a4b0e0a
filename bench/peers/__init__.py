"""The other programs that bench/peers.py compares with, each with the settings that its users choose."""

from peers.bags import NBSVM, FastText, TfidfRegression, Vader
from peers.networks import BiLSTM, RandomDistilBert

# Bigrams, 10 dimensions and 5 epochs are the paper's; reviews are few enough that more epochs help.
FASTTEXT = [
    FastText(
        f"fastText {family}, lr {learning_rate}, {epochs} epochs",
        {"normalize": normalize, "wordNgrams": 2, "dim": 10, "lr": learning_rate, "epoch": epochs},
        family=f"fastText, {family} text",
    )
    for family, normalize in (("raw", False), ("normalized", True))
    for learning_rate, epochs in ((0.1, 5), (0.5, 5), (0.5, 10))
]
# On validation, punctuation and C serve these peers better than scikit-learn's defaults, which the words alone keep.
WITH_PUNCTUATION = {"min_df": 2, "token_pattern": r"\w+|[^\w\s]"}
PEERS = (
    Vader("VADER", {}),
    TfidfRegression("TF-IDF words + LR", {"C": 1.0, "vectorizer": {}}),
    TfidfRegression(
        "TF-IDF bigrams + LR",
        {"C": 10.0, "vectorizer": WITH_PUNCTUATION | {"ngram_range": (1, 2), "sublinear_tf": True}},
    ),
    NBSVM("NB-SVM trigrams", {"C": 1.0, "vectorizer": WITH_PUNCTUATION | {"ngram_range": (1, 3)}}),
    *FASTTEXT,
    BiLSTM(
        "PyTorch BiLSTM",
        {
            "vocabulary_size": 25_000,
            "max_tokens": 200,
            "embedding_size": 128,
            "hidden_size": 64,
            "batch_size": 64,
            "learning_rate": 1e-3,
            "epochs": 2,
        },
    ),
    RandomDistilBert("DistilBERT-sized, int8, random weights", {"max_tokens": 256, "batch_size": 32}),
)
