import numpy as np
import pytest

from plaudit.compress.base import Subject
from plaudit.compress.quantize import quantize
from plaudit.compress.settings import QuantizeSettings
from plaudit.errors import SettingsError
from plaudit.models.bow.head_start import HeadStart
from plaudit.models.packed import unpack
from plaudit.train.bow import train_bow
from tests.compress.conftest import BOW

TEXTS = ["a lovely film about people", "dull and tedious", "", "the dog was superb in town"]


def num_bytes(model):
    return sum(tensor.nbytes for tensor in model.state().tensors.values())


@pytest.mark.parametrize(("storage", "share"), [("int8", 0.5), ("bf16", 0.65)])
def test_an_lstm_takes_less_room_and_judges_alike(subjects, context, storage, share):
    model = subjects["lstm"].model
    made = quantize(subjects["lstm"], QuantizeSettings(storage=storage), context)
    assert num_bytes(made.model) < share * num_bytes(model)
    np.testing.assert_allclose(made.model.logits(TEXTS), model.logits(TEXTS), atol=0.1)
    assert made.provenance.compression[-1].figures["agreement"] > 0.95
    assert made.provenance.compression[-1].figures["weight_bytes"] == num_bytes(made.model)
    assert (
        abs(made.provenance.validation_accuracy - made.provenance.compression[-1].figures["validation_accuracy_before"])
        < 0.05
    )


def test_the_network_holds_exactly_what_is_stored(subjects, context):
    made = quantize(subjects["lstm"], QuantizeSettings(), context)
    stored = unpack(made.model.state().tensors)
    for name, tensor in made.model.network.state_dict().items():
        np.testing.assert_allclose(tensor.numpy(), stored[name], rtol=1e-6)


def test_a_bow_is_quantized_to_int8(subjects, context):
    made = quantize(subjects["bow"], QuantizeSettings(), context)
    assert made.model.weights.dtype == np.int8
    assert num_bytes(made.model) < num_bytes(subjects["bow"].model)
    np.testing.assert_allclose(made.model.logits(TEXTS), subjects["bow"].model.logits(TEXTS), atol=0.2)


def test_a_bow_with_characters_and_a_head_start_is_quantized_too(splits, context, bow):
    spelt = BOW.model_copy(update={"characters": 4, "temperature": 2.0})
    whole = train_bow(spelt, splits, context.training, HeadStart("start", bow, 1.0)).model
    made = quantize(Subject(whole.settings, None, whole), QuantizeSettings(), context).model
    assert (made.settings.characters, made.weights.dtype) == (4, np.int8)
    np.testing.assert_allclose(made.logits(TEXTS), whole.logits(TEXTS), atol=0.1)


def test_a_head_start_that_stays_a_member_is_not_made_smaller(splits, context, bow, lstm):
    whole = train_bow(BOW, splits, context.training, HeadStart("start", lstm, 1.0)).model
    with pytest.raises(SettingsError, match="a model of kind ensemble cannot be quantized"):
        quantize(Subject(whole.settings, None, whole), QuantizeSettings(), context)


def test_what_would_not_help_is_refused(subjects, context):
    with pytest.raises(SettingsError, match="a bow has 16 bits a weight already"):
        quantize(subjects["bow"], QuantizeSettings(storage="bf16"), context)
    for kind, message in (("lstm", "is stored as int8 already"), ("bow", "would take .* bytes, no less than now")):
        once = quantize(subjects[kind], QuantizeSettings(), context).model
        with pytest.raises(SettingsError, match=message):
            quantize(Subject(once.settings, subjects[kind].train, once), QuantizeSettings(), context)
