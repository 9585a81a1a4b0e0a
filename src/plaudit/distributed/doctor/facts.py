"""What a rank can tell of itself and its node before it has met any other.

Not yet run on a GPU: what is asked of GPUs and of NVIDIA's driver has only been tried where there are none.
"""

import os
import platform
import resource
import shutil
import socket
import subprocess
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict

from plaudit.device import has_bf16

_DRIVER_PATIENCE_S = 30


class Gpu(BaseModel):
    """A GPU as torch sees it."""

    model_config = ConfigDict(frozen=True)
    name: str
    memory_bytes: int
    capability: str


class Facts(BaseModel):
    """What a rank tells of itself and its node; None is what cannot be told."""

    model_config = ConfigDict(frozen=True)
    rank: int
    size: int
    """Ranks in all."""
    node: int
    ranks_of_node: int
    host: str
    python: str
    torch: str
    plaudit: str
    cuda: str | None
    """The CUDA that torch was built for."""
    gpus: tuple[Gpu, ...]
    driver: str | None
    driver_failure: str | None
    has_bf16: bool
    cores: int
    """Those that this rank may use."""
    memory_free_bytes: int | None
    shm_free_bytes: int | None
    open_files: int | None
    """The most that this rank may open; None is as many as it likes."""
    shared: str | None
    shared_free_bytes: int | None


def probe(shared: Path | None, *, version: str, root: Path = Path("/")) -> Facts:
    """Return this rank's facts; `version` is plaudit's, and `root` is where /proc, /sys and /dev are."""
    rank, size, node, ranks_of_node = (
        int(os.environ.get(name, default))
        for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("GROUP_RANK", "0"), ("LOCAL_WORLD_SIZE", "1"))
    )
    has_gpu = torch.cuda.is_available()
    driver, driver_failure = _driver()
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Facts(
        rank=rank,
        size=size,
        node=node,
        ranks_of_node=ranks_of_node,
        host=socket.gethostname(),
        python=platform.python_version(),
        torch=torch.__version__,
        plaudit=version,
        cuda=torch.version.cuda,
        gpus=tuple(_gpu(number) for number in range(torch.cuda.device_count())) if has_gpu else (),
        driver=driver,
        driver_failure=driver_failure,
        # As train.precision = "auto" chooses.
        has_bf16=has_bf16(torch.device("cuda" if has_gpu else "cpu")),
        cores=len(os.sched_getaffinity(0)),
        memory_free_bytes=memory_free_bytes(root),
        shm_free_bytes=_free_bytes(root / "dev/shm"),
        open_files=None if open_files == resource.RLIM_INFINITY else open_files,
        shared=None if shared is None else str(shared),
        shared_free_bytes=None if shared is None else _free_bytes(shared),
    )


def _gpu(number: int) -> Gpu:
    properties = torch.cuda.get_device_properties(number)
    capability = f"{properties.major}.{properties.minor}"
    return Gpu(name=properties.name, memory_bytes=properties.total_memory, capability=capability)


def _driver() -> tuple[str | None, str | None]:
    """Return the version of NVIDIA's driver, or else what is wrong with it; neither where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DRIVER_PATIENCE_S, check=True)
        return done.stdout.partition("\n")[0].strip(), None
    except FileNotFoundError:
        return None, None
    except subprocess.CalledProcessError as error:
        return None, (error.stdout + error.stderr).strip() or f"status {error.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)


def memory_free_bytes(root: Path) -> int | None:
    """Return what this process may still take: of the machine, and of each control group that it is in."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:")]
    try:
        group = Path((root / "proc/self/cgroup").read_text().rpartition("0::/")[2].strip())
    except OSError:
        group = Path()
    for folder in (group, *group.parents):
        at = root / "sys/fs/cgroup" / folder
        try:
            free.append(int((at / "memory.max").read_text()) - int((at / "memory.current").read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(free, default=None)


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
