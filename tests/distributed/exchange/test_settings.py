import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from plaudit.distributed.exchange.settings import ExchangeSettings


def test_an_unknown_precision_is_refused_with_the_known_ones():
    with pytest.raises(ValidationError, match="'fp32', 'bf16', 'int8' or 'int4'"):
        TypeAdapter(ExchangeSettings).validate_python({"kind": "local", "precision": "int2"})


def test_settings_and_world_are_read_without_torch():
    modules = "plaudit.distributed.world, plaudit.distributed.exchange.settings"
    script = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
