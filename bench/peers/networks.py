"""Peers that read words in order: a BiLSTM in PyTorch, an encoder of DistilBERT's size in ONNX Runtime."""

import re
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from peers.base import FittedPeer, Peer
from plaudit.evaluate.machine import num_cores


class BiLSTM(FittedPeer):
    """A bidirectional LSTM as tutorials write it: fixed length, fixed batches, fp32, Adam."""

    def fit(self, texts, labels):
        """Build vocabulary and network, and train."""
        import torch
        from torch import nn
        from torch.utils.data import DataLoader, TensorDataset

        torch.manual_seed(0)
        counts = Counter(word for text in texts for word in self._words(text))
        common = counts.most_common(self.settings["vocabulary_size"] - 2)
        self.ids = {word: i for i, (word, _) in enumerate(common, start=2)}  # after padding and unknown
        embedding_size, hidden_size = self.settings["embedding_size"], self.settings["hidden_size"]
        self.network = nn.ModuleDict(
            {
                "embedding": nn.Embedding(self.settings["vocabulary_size"], embedding_size, padding_idx=0),
                "lstm": nn.LSTM(embedding_size, hidden_size, batch_first=True, bidirectional=True),
                "dropout": nn.Dropout(0.5),
                "classifier": nn.Linear(2 * hidden_size, 2),
            }
        )
        dataset = TensorDataset(self._padded(texts), torch.from_numpy(labels))
        loader = DataLoader(dataset, batch_size=self.settings["batch_size"], shuffle=True)
        optimizer = torch.optim.Adam(self.network.parameters(), lr=self.settings["learning_rate"])
        for _ in range(self.settings["epochs"]):
            for ids, batch_labels in loader:
                optimizer.zero_grad()
                nn.functional.cross_entropy(self._logits(ids), batch_labels).backward()
                optimizer.step()
        self.network.eval()

    def predict(self, texts):
        """Return the most probable label."""
        import torch

        with torch.inference_mode():
            batches = self._padded(texts).split(self.settings["batch_size"])
            return torch.cat([self._logits(ids).argmax(dim=1) for ids in batches]).numpy()

    @staticmethod
    def _words(text):
        return re.findall(r"[a-z0-9']+", text.replace("<br />", " ").lower())

    def _padded(self, texts):
        """Ids of each text's last words, padded on the right; int64 [N, max_tokens]."""
        import torch

        padded = np.zeros((len(texts), self.settings["max_tokens"]), np.int64)
        for row, text in zip(padded, texts, strict=True):
            ids = [self.ids.get(word, 1) for word in self._words(text)[-len(row) :]]
            row[: len(ids)] = ids
        return torch.from_numpy(padded)

    def _logits(self, ids):
        states, _ = self.network["lstm"](self.network["embedding"](ids))
        return self.network["classifier"](self.network["dropout"](states.amax(dim=1)))


class RandomDistilBert(Peer):
    """The network of DistilBERT with random weights, quantized to int8 by ONNX Runtime: good for its speed only.

    It reads random word pieces, 1.3 for each word of a review, so that it is spared the time to find them.
    """

    speed_only = True

    def train(self, texts, labels):
        """Build, export and quantize the network, which is not training and has no time."""
        import torch
        from onnxruntime.quantization import quantize_dynamic
        from transformers import DistilBertConfig, DistilBertForSequenceClassification

        network = DistilBertForSequenceClassification(DistilBertConfig(num_labels=2)).eval()
        inputs = (torch.ones(2, 16, dtype=torch.long), torch.ones(2, 16, dtype=torch.long))
        any_size = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
        with tempfile.TemporaryDirectory() as folder:
            exported, quantized = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
            names = ["input_ids", "attention_mask"]
            torch.onnx.export(
                network, inputs, exported, input_names=names, dynamic_shapes=(any_size, any_size), verbose=False
            )
            quantize_dynamic(exported, quantized)
            self.graph = quantized.read_bytes()

    def save(self, folder):
        """Write the quantized graph."""
        (folder / "model.onnx").write_bytes(self.graph)

    def load(self, folder):
        """Open the quantized graph for every core of this process."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_cores()
        self.session = onnxruntime.InferenceSession(folder / "model.onnx", options)

    def predict(self, texts):
        """Return labels by chance, in the time that real ones take."""
        rng = np.random.default_rng(0)
        labels = []
        for start in range(0, len(texts), self.settings["batch_size"]):
            batch = texts[start : start + self.settings["batch_size"]]
            lengths = [min(self.settings["max_tokens"], 2 + round(1.3 * len(text.split()))) for text in batch]
            mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
            ids = mask * rng.integers(1_000, 30_000, mask.shape)
            (logits,) = self.session.run(None, {"input_ids": ids, "attention_mask": mask})
            labels.append(logits.argmax(axis=1))
        return np.concatenate(labels)
