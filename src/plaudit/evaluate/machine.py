"""Describes the machine and the version of the code, to record with measurements."""

import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from plaudit.threads import num_cores as num_cores  # part of the description

PACKAGE = Path(__file__).resolve().parents[1]


def cpu_name() -> str:
    """Return the processor's model name, or its architecture if the system does not report one."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def gpu_name() -> str | None:
    """Return the CUDA device's name, or None if there is none or torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())


def code_version() -> str:
    """Return this checkout's commit, with "-dirty" if the package has changes, or the version if not a checkout."""
    # An installed package may be inside another repository; only one that tracks this file is ours.
    if _git("ls-files", "--error-unmatch", __file__) is not None:
        commit = _git("rev-parse", "HEAD")
        if commit:
            return commit if _git("diff", "--quiet", "HEAD", "--", str(PACKAGE)) is not None else f"{commit}-dirty"
    return version("plaudit")


def _git(*arguments: str) -> str | None:
    """Output of a git command, or None if it fails or there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(PACKAGE), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
