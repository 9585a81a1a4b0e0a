"""Published figures to compare with."""

from plaudit.report.document import Paragraph, Section, Table, columns

# Accuracy in percent on IMDB's official test split, as published; docs/literature.md has the whole review.
PUBLISHED = (
    ("VADER", "lexicon, no training", "–", "Hutto & Gilbert 2014"),
    ("NB-SVM", "bag of bigrams", "91.22", "Wang & Manning 2012"),
    ("LSTM, labels alone", "1,024 cells", "86.50", "Dai & Le 2015"),
    ("SA-LSTM", "sequence autoencoder on unlabelled reviews first", "92.76", "Dai & Le 2015"),
    ("oh-LSTM", "region embeddings of unlabelled reviews", "94.06", "Johnson & Zhang 2016"),
    ("LSTM, virtual adversarial training", "language model first", "94.09", "Miyato et al. 2017"),
    (
        "DV-ngrams-cosine with NB-weighted n-grams",
        "read test texts; corrected figure",
        "93.68",
        "Bingyu & Arefyev 2022",
    ),
    ("ULMFiT", "language model of WikiText-103, two directions", "95.4", "Howard & Ruder 2018"),
    ("DistilBERT, fine-tuned", "pretrained on the web", "92.8", "Sanh et al. 2019"),
)

_OVERVIEW = (
    "The sentiment of film reviews has been predicted by lexicons, by bags of words and n-grams, by LSTMs that learn "
    "from labels alone or read unlabelled reviews first, and by pretrained Transformers. The table shows what their "
    "authors report on IMDB's official test split (Maas et al. 2011); we measured none of it, and some of it depends "
    "on choices made on that split. Small models are made from large ones by distillation (Hinton et al. 2015), "
    "pruning (Wen et al. 2018 for LSTMs) and quantization; training on many machines sends less by sparse or low-rank "
    "gradients (Lin et al. 2018, Vogels et al. 2019) or by averaging rarely (Douillard et al. 2023)."
)


def related_work() -> Section:
    """What others did, with the accuracy they report."""
    heads = columns("Model", "What", "#Accuracy, %", "Source")
    table = Table("Published accuracy on IMDB's test split, in percent", heads, PUBLISHED)
    return Section("related", "Related work", (Paragraph(_OVERVIEW), table))
