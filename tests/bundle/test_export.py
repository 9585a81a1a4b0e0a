import json
import sys

import numpy as np
import pytest
import torch
from rich.console import Console

onnxruntime = pytest.importorskip("onnxruntime")

from plaudit.bundle import export  # noqa: E402
from plaudit.bundle.export import export_model  # noqa: E402
from plaudit.bundle.folder import load_trainable, save_bundle  # noqa: E402
from plaudit.bundle.trained import TrainedModel  # noqa: E402
from plaudit.errors import MissingExtraError, OutputError, SettingsError  # noqa: E402
from plaudit.models.ensemble import EnsembleModel  # noqa: E402
from plaudit.models.kinds import MODELS  # noqa: E402
from plaudit.models.lstm import onnx as lstm_onnx  # noqa: E402
from plaudit.models.lstm.network import LSTMModel, LSTMSettings  # noqa: E402
from plaudit.text.cleaning import CleaningSettings  # noqa: E402
from plaudit.text.reference import tokenize  # noqa: E402
from tests.conftest import save_tiny_bert  # noqa: E402
from tests.models.bow.flat_reader import read_flat  # noqa: E402

LABELS = ("negative", "positive")
LONG = "a good story about a dog and a bad story about a good dog and a film"
TEXTS = ["a good film and a good story", "Bad.", "not a <br /> GOOD film", "", LONG, "strange words"]


def lstm(**changes):
    settings = LSTMSettings(**{"embedding_size": 6, "hidden_size": 5, "min_count": 1, "max_tokens": 9, **changes})
    model = LSTMModel.create(settings, LABELS, [*TEXTS[:-1], "Größe, naïve"], seed=0)
    with torch.no_grad():  # as far from zero as trained weights are
        for weights in model.network.parameters():
            weights *= 3
    return model


def onnx(model, out):
    return export_model(model, format="onnx", out=out, console=Console(quiet=True))


def metadata_of(path):
    return onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map


def ids_by_hand(metadata, text):
    """Encode a text by what the file says, as a program without Plaudit would."""
    before, after = (json.loads(metadata.get(name, "[]")) for name in ("ids_before", "ids_after"))
    if metadata["kind"] == "lstm":
        vocabulary, unknown = json.loads(metadata["vocabulary"]), int(metadata["unknown_id"])
        words = tokenize(text, CleaningSettings.model_validate_json(metadata["cleaning"]))
        ids = [vocabulary.get(word, unknown) for word in words] or [unknown]
    else:
        tokenizers = pytest.importorskip("tokenizers")
        tokenizer = tokenizers.Tokenizer.from_str(metadata["tokenizer"])
        ids = tokenizer.encode(text, add_special_tokens=False).ids
    room = int(metadata["max_tokens"]) - len(before) - len(after)
    if len(ids) > room:
        head = {"head": room, "tail": 0, "head+tail": (room + 1) // 2}[metadata["truncation"]]
        ids = ids[:head] + ids[len(ids) - (room - head) :]
    return [*before, *ids, *after]


def logits_by_hand(path, texts):
    """Score texts by nothing but the file."""
    session = onnxruntime.InferenceSession(path)
    metadata = session.get_modelmeta().custom_metadata_map
    rows = [ids_by_hand(metadata, text) for text in texts]
    width = max(map(len, rows))
    ids = np.array([row + [int(metadata["padding_id"])] * (width - len(row)) for row in rows])
    mask = np.array([[True] * len(row) + [False] * (width - len(row)) for row in rows])
    return session.run(["logits"], {"ids": ids, "mask": mask})[0]


def assert_scores_as(model, path):
    expected = model.logits(TEXTS)
    assert np.ptp(expected[:, 0]) > 1e-3  # or any other texts would do
    np.testing.assert_allclose(logits_by_hand(path, TEXTS), expected, atol=1e-4)
    one_by_one = np.concatenate([logits_by_hand(path, [text]) for text in TEXTS])
    np.testing.assert_allclose(one_by_one, expected, atol=1e-4)


@pytest.mark.parametrize("pooling", [["mean"], ["max"], ["last"], ["attention"], ["attention", "max", "mean", "last"]])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize(
    "directions",
    [{"bidirectional": False}, {"bidirectional": True}, {"bidirectional": False, "backward": True}],
    ids=["forward", "both", "backward"],
)
def test_an_lstm_scores_texts_as_the_model_does(tmp_path, directions, num_layers, pooling):
    model = lstm(**directions, num_layers=num_layers, pooling=pooling)
    exported = onnx(model, tmp_path / "lstm.onnx")
    assert 0 <= exported.max_difference < 1e-5
    assert_scores_as(model, tmp_path / "lstm.onnx")


@pytest.mark.parametrize("pooling", [["mean"], ["attention", "max", "mean", "last"]])
def test_a_text_whose_mask_is_all_false_scores_as_an_empty_one(tmp_path, pooling):
    model = lstm(pooling=pooling)
    onnx(model, tmp_path / "lstm.onnx")
    mask = np.array([[False, False, False], [True, True, False]])
    ids = np.array([[0, 0, 0], [2, 3, 0]])
    session = onnxruntime.InferenceSession(tmp_path / "lstm.onnx")
    empty, other = session.run(["logits"], {"ids": ids, "mask": mask})[0]
    np.testing.assert_allclose(empty, model.logits([""])[0], atol=1e-4)
    np.testing.assert_allclose(
        other, session.run(["logits"], {"ids": ids[1:, :2], "mask": mask[1:, :2]})[0][0], atol=1e-5
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"truncation": "head"},
        {"truncation": "tail"},
        {"max_tokens": 1},
        {"cleaning": {"lowercase": False, "punctuation": "keep", "stop_words": ["a"]}},
    ],
)
def test_metadata_carry_the_way_from_text_to_ids(tmp_path, changes):
    model = lstm(**changes)
    onnx(model, tmp_path / "lstm.onnx")
    assert_scores_as(model, tmp_path / "lstm.onnx")


def test_metadata_name_labels_kind_and_words(tmp_path):
    onnx(lstm(), tmp_path / "lstm.onnx")
    metadata = metadata_of(tmp_path / "lstm.onnx")
    assert metadata["kind"] == "lstm"
    assert json.loads(metadata["labels"]) == list(LABELS)
    assert json.loads(metadata["vocabulary"])["größe"] > 1


def test_batch_and_length_are_free(tmp_path):
    onnx(lstm(), tmp_path / "lstm.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "lstm.onnx")
    assert [(put.name, put.shape, put.type) for put in (*session.get_inputs(), *session.get_outputs())] == [
        ("ids", ["batch", "tokens"], "tensor(int64)"),
        ("mask", ["batch", "tokens"], "tensor(bool)"),
        ("logits", ["batch", 2], "tensor(float)"),
    ]


@pytest.mark.parametrize("storage", ["bf16", "int8"])
def test_packed_weights_are_exported_as_the_values_they_mean(tmp_path, storage):
    model = lstm(storage=storage)
    with torch.no_grad():
        model.network.embedding.weight[2:5] = 0  # sparse as well
    save_bundle(TrainedModel(model=model), tmp_path / "bundle")
    loaded = load_trainable(tmp_path / "bundle").model
    assert not np.array_equal(loaded.logits(TEXTS), model.logits(TEXTS))
    onnx(loaded, tmp_path / "lstm.onnx")
    assert_scores_as(loaded, tmp_path / "lstm.onnx")


def test_the_file_is_one_and_hardly_larger_than_its_weights(tmp_path):
    model = lstm(embedding_size=100, hidden_size=100)
    exported = onnx(model, tmp_path / "out" / "lstm.onnx")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lstm.onnx"]
    assert exported.size_bytes == (tmp_path / "out" / "lstm.onnx").stat().st_size
    weight_bytes = 4 * sum(weights.numel() for weights in model.network.parameters())
    assert weight_bytes < exported.size_bytes < weight_bytes + 6000


def test_the_console_is_told_size_and_difference(tmp_path, capsys):
    export_model(lstm(), format="onnx", out=tmp_path / "a[/b].onnx", console=Console(width=1000))
    assert "a[/b].onnx: 0.01 MB, logits within" in capsys.readouterr().out


def test_exporting_leaves_the_model_as_it_was(tmp_path):
    model = lstm()
    model.network.train()
    onnx(model, tmp_path / "lstm.onnx")
    assert model.network.training


def test_formats_that_are_unknown_or_not_for_the_kind_are_refused(tmp_path, toy_bow):
    with pytest.raises(SettingsError, match="--format onx is unknown; did you mean onnx"):
        export_model(lstm(), format="onx", out=tmp_path / "model", console=Console(quiet=True))
    with pytest.raises(SettingsError, match="--format onnx: not for a model of kind bow; its formats: flat"):
        onnx(toy_bow, tmp_path / "model")
    with pytest.raises(SettingsError, match="--format flat: not for a model of kind lstm; its formats: onnx"):
        export_model(lstm(), format="flat", out=tmp_path / "model", console=Console(quiet=True))
    assert not list(tmp_path.iterdir())


def assert_refused(model, folder, error, message):
    (folder / "lstm.onnx").write_bytes(b"an earlier file")
    with pytest.raises(error, match=message) as caught:
        onnx(model, folder / "lstm.onnx")
    assert "\n" not in str(caught.value)
    assert [path.read_bytes() for path in folder.iterdir()] == [b"an earlier file"]


def test_a_file_with_other_logits_is_not_kept(tmp_path, monkeypatch):
    wrong = lstm_onnx._POOLING["max"].replace("{layer}_inside, axis_0", "{layer}, axis_0")  # padding not left out
    monkeypatch.setitem(lstm_onnx._POOLING, "max", wrong)
    assert_refused(lstm(), tmp_path, OutputError, r"logits differ by \de.* from the model's")


def test_a_file_that_cannot_run_is_not_kept(tmp_path, monkeypatch, capfd):
    wrong = lstm_onnx._POOLING["max"].replace("axis_0", "axis_1")
    monkeypatch.setitem(lstm_onnx._POOLING, "max", wrong)
    assert_refused(lstm(), tmp_path, OutputError, "ONNX Runtime cannot run this model")
    assert not capfd.readouterr().err


def test_a_model_whose_logits_are_no_numbers_is_refused(tmp_path):
    model = lstm()
    with torch.no_grad():
        model.network.classifier.bias[0] = float("nan")
    assert_refused(model, tmp_path, OutputError, "logits differ by nan")


def test_a_model_too_large_for_one_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "MAX_WEIGHT_BYTES", 1000)
    assert_refused(lstm(), tmp_path, OutputError, "holds less than 2 GB, but the model has 0.0 GB of weights")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert_refused(lstm(), tmp_path, MissingExtraError, rf"needs {package}: pip install 'plaudit\[onnx\]'")


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory):
    return save_tiny_bert(tmp_path_factory.mktemp("bert"), [LONG], initializer_range=0.5)


def bert(folder, **changes):
    from plaudit.models.transformer.model import TransformerModel
    from plaudit.models.transformer.settings import TransformerSettings

    settings = TransformerSettings(source=str(folder), max_tokens=9, **changes)
    return TransformerModel.create(settings, LABELS, [], seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_transformer_scores_texts_as_the_model_does(tmp_path, bert_folder, pooling, capfd):
    model = bert(bert_folder, pooling=pooling)
    exported = onnx(model, tmp_path / "bert.onnx")
    assert not capfd.readouterr().err
    assert exported.max_difference < 1e-5
    assert_scores_as(model, tmp_path / "bert.onnx")
    assert exported.size_bytes < 60_000
    assert b".py" not in (tmp_path / "bert.onnx").read_bytes()  # stack traces, with paths of this machine


@pytest.mark.slow
def test_a_transformers_file_is_fp32_whatever_the_model_scores_in(tmp_path, bert_folder):
    for precision in ("fp32", "bf16"):
        onnx(bert(bert_folder, scoring_precision=precision), tmp_path / precision)
    assert (tmp_path / "fp32").read_bytes() == (tmp_path / "bf16").read_bytes()


class Untraceable(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, 2))

    def forward(self, ids, mask):
        return self.weight.repeat(len(ids), 1) * (2 if ids.sum() > 3 else 1)


@pytest.mark.slow
def test_a_transformer_that_torch_cannot_trace_is_refused(tmp_path, bert_folder):
    model = bert(bert_folder)
    model.network = Untraceable()
    assert_refused(model, tmp_path, OutputError, "torch cannot write this transformer as ONNX: Could not guard")


NO_FORMAT = {"docvec", "ensemble"}
"""Teachers: what leaves for other programs is a student of theirs."""


def test_every_kind_has_a_format_or_is_a_teacher():
    assert {kind for exporter in export.FORMATS.values() for kind in exporter.kinds} == set(MODELS) - NO_FORMAT


@pytest.mark.parametrize("format", export.FORMATS)
def test_an_ensemble_has_no_format(tmp_path, toy_bow, format):
    ensemble = EnsembleModel.of({"bow": toy_bow, "lstm": lstm()}, [1.0, 1.0])
    with pytest.raises(SettingsError, match="not for a model of kind ensemble; its formats: none"):
        export_model(ensemble, format=format, out=tmp_path / "model", console=Console(quiet=True))
    assert not list(tmp_path.iterdir())


def test_a_bow_is_written_as_a_flat_file(tmp_path, toy_bow):
    exported = export_model(toy_bow, format="flat", out=tmp_path / "bow.flat", console=Console(quiet=True))
    assert exported.max_difference is None
    texts = ["a lovely film", "a dull story", ""]
    _, logits = read_flat(tmp_path / "bow.flat")
    np.testing.assert_array_equal(logits(texts), toy_bow.logits(texts))
