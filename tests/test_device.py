import pytest
import torch

from plaudit.device import has_bf16
from plaudit.errors import SettingsError
from plaudit.train.device import choose_precision
from plaudit.train.settings import TrainSettings


@pytest.mark.parametrize("has_instructions", [True, False])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_bf16_is_for_devices_that_have_instructions_for_it(kind, has_instructions, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_instructions == (kind == "cpu"))
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda *, including_emulation: has_instructions == (kind == "cuda")
    )
    device = torch.device(kind)
    assert has_bf16(device) is has_instructions
    settings = TrainSettings(epochs=1, max_learning_rate=0.1)
    assert choose_precision(settings, device) is (torch.bfloat16 if has_instructions else torch.float32)
    asked = settings.model_copy(update={"precision": "bf16"})
    if has_instructions:
        assert choose_precision(asked, device) is torch.bfloat16
    else:
        with pytest.raises(SettingsError, match=r'train\.precision = "bf16": this (processor|GPU) has no instructions'):
            choose_precision(asked, device)
