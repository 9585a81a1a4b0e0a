"""`plaudit doctor`: can these nodes train together, and what has to be fixed if not?

Nodes meet at the rendezvous, where each leaves its facts (versions, GPUs, …) for all others to check. If they find no
problem, each node starts its ranks, as for training, and these exchange a message.
"""

import json
import os
import platform
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel
from torch.distributed import HashStore, TCPStore  # type: ignore[attr-defined]  # documented, though not in its __all__

from plaudit.distributed.group import Group, in_time, is_here, joined
from plaudit.distributed.launch import Cluster, start_ranks
from plaudit.distributed.world import local_rank
from plaudit.errors import OutputError, PlauditError, SettingsError, TrainingError, TrainingInterruptedError
from plaudit.threads import num_cores

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

SHM_BYTES = 1 << 30
"""What NVIDIA starts its containers with; NCCL talks through it, and crashes in Docker's 64 MiB."""
FREE_SHARE = 0.5
"""Of a GPU's memory; less is free only where another program uses it."""
NAMES_SHOWN = 8
_NETWORK_ADVICE = "let ranks reach each other at every port; GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME choose a network"
_SHARED_PATIENCE_S = 5.0
"""Network file systems may show a new file late."""
_LEAVING_PATIENCE_S = 5.0
_MARGIN_S = 0.5
"""By itself torch gives up in time where nobody answers, but not where another program does."""


@dataclass(frozen=True)
class Finding:
    """What a check found, and what to do about it."""

    name: str
    found: str
    status: Literal["ok", "warning", "problem"] = "ok"
    advice: str = ""


class Facts(BaseModel):
    """What a node knows about itself; another version of it may know more or less."""

    host: str = "unknown"
    plaudit: str = "unknown"
    torch: str = "unknown"
    python: str = "unknown"
    ranks: int = 1
    cores: int = 1
    gpus: tuple[str, ...] = ()
    has_driver: bool = False
    """Whether NVIDIA's driver is installed."""
    shm_bytes: int | None = None
    """Free in /dev/shm; None if there is none."""


def probe(ranks: int, version: str) -> Facts:
    """Return the facts of this node, where so many ranks of this version of plaudit are to run."""
    try:
        shm_bytes = shutil.disk_usage("/dev/shm").free
    except OSError:
        shm_bytes = None
    num_gpus = torch.cuda.device_count()
    return Facts(
        host=socket.gethostname(),
        plaudit=version,
        torch=torch.__version__,
        python=platform.python_version(),
        ranks=ranks,
        cores=num_cores(),
        gpus=tuple(torch.cuda.get_device_properties(number).name for number in range(num_gpus)),
        has_driver=shutil.which("nvidia-smi") is not None,
        shm_bytes=shm_bytes,
    )


def versions(nodes: Sequence[Facts]) -> Finding:
    """Check that all nodes run the same software."""
    hosts: dict[str, list[str]] = {}
    for node in nodes:
        software = f"plaudit {node.plaudit}, torch {node.torch}, Python {node.python}"
        hosts.setdefault(software, []).append(node.host)
    if len(hosts) == 1:
        return Finding("versions", next(iter(hosts)))
    found = "; ".join(f"{software} on {_list(names)}" for software, names in hosts.items())
    differ = len({(node.plaudit, node.torch) for node in nodes}) > 1
    return Finding("versions", found, "problem" if differ else "warning", "install the same versions on every node")


def devices(nodes: Sequence[Facts]) -> Finding:
    """Check that each rank has a GPU of its own, or without any GPUs a core."""
    fewest = min(nodes, key=lambda node: len(node.gpus) - node.ranks)
    if fewest.gpus:
        found = f"on {fewest.host}: ranks {fewest.ranks}, GPUs {len(fewest.gpus)} ({_list(fewest.gpus)})"
        if len(fewest.gpus) >= fewest.ranks:
            return Finding("devices", found)
        return Finding("devices", found, "problem", f"each rank needs one: --gpus-per-node {len(fewest.gpus)}")
    without = [node for node in nodes if not node.gpus]
    blind = [node.host for node in without if node.has_driver]
    advice = "install a torch built for CUDA (pytorch.org/get-started), and check nvidia-smi and CUDA_VISIBLE_DEVICES"
    if len(without) < len(nodes):
        found = f"no GPU on {_list(node.host for node in without)}, but on others"
        return Finding("devices", found, "problem", f"leave these nodes out, or {advice}")
    if blind:
        return Finding("devices", f"torch finds no GPU on {_list(blind)}, but NVIDIA's driver", "warning", advice)
    busiest = max(nodes, key=lambda node: node.ranks / node.cores)
    found = f"on {busiest.host}: ranks {busiest.ranks}, cores {busiest.cores}, no GPUs"
    if busiest.ranks <= busiest.cores:
        return Finding("devices", found)
    return Finding("devices", found, "warning", "start fewer ranks, or give them more cores (Slurm: --cpus-per-task)")


def shared_memory(nodes: Sequence[Facts]) -> Finding:
    """Check that GPUs of one node have the shared memory that NCCL needs; gloo needs none."""
    known = [(node.shm_bytes, node.host) for node in nodes if node.shm_bytes is not None]
    if not known:
        return Finding("/dev/shm", "unknown")
    least, host = min(known)
    found = f"{least / 2**30:.1f} GiB free on {host}"
    if least >= SHM_BYTES or not any(node.gpus for node in nodes):
        return Finding("/dev/shm", found)
    return Finding("/dev/shm", found, "warning", f"NCCL needs {SHM_BYTES / 2**30:.0f} GiB; Docker: --shm-size=1g")


CHECKS: tuple[Callable[[Sequence[Facts]], Finding], ...] = (versions, devices, shared_memory)
"""To add a check of what nodes know, write a function and add it here."""


def default_ranks(nodes: int) -> int:
    """Return the ranks of a node: one per GPU, else one, or two on a single node so that they can exchange messages."""
    return torch.cuda.device_count() or (2 if nodes == 1 else 1)


def examine(cluster: Cluster, shared: Path | None, *, version: str) -> list[Finding]:
    """Return what all checks found; all nodes of the cluster call this at the same time, with plaudit's version."""
    cluster.check()
    # Other nodes still read the store that one of them holds, so it is kept to the end.
    _store, meeting, nodes = meet(cluster, probe(cluster.ranks_per_node, version))
    findings = [meeting, *(check(nodes) for check in CHECKS)]
    if not has_problem(findings):
        findings.append(try_ranks(cluster, shared))
    return findings


def has_problem(findings: Iterable[Finding]) -> bool:
    """Return whether any of the findings is a problem."""
    return any(finding.status == "problem" for finding in findings)


def meet(cluster: Cluster, facts: Facts) -> tuple["Store | None", Finding, list[Facts]]:
    """Wait for all nodes at the rendezvous; return its store, whether all came, and the facts of those that did."""
    if cluster.nodes == 1:
        return HashStore(), Finding("nodes", facts.host), [facts]
    host, _, port = str(cluster.rendezvous).rpartition(":")
    try:
        store = _open_store(host, int(port), cluster.timeout_s)
        number = store.add("doctor/nodes", 1)
        store.set(f"doctor/node/{number}", facts.model_dump_json())
        came = _wait_for_count(store, "doctor/nodes", cluster.nodes, cluster.timeout_s)
        nodes = [Facts.model_validate_json(store.get(f"doctor/node/{each}")) for each in range(1, came + 1)]
        store.add("doctor/readers", 1)
        if number == 1:  # the first one usually holds the store
            _wait_for_count(store, "doctor/readers", came, _LEAVING_PATIENCE_S)
    except (RuntimeError, OSError):  # what torch raises where nobody answers, or no longer
        found = f"no answer from {cluster.rendezvous} for {cluster.timeout_s:g} s"
        advice = f"start plaudit doctor on {host} too, and open port {port} in its firewall or choose another one"
        return None, Finding("nodes", found, "problem", advice), [facts]
    found = f"{came} of {cluster.nodes} came to {cluster.rendezvous}: {_list(node.host for node in nodes)}"
    if came >= cluster.nodes:
        return store, Finding("nodes", found), nodes
    advice = f"start plaudit doctor on the others too; they must be able to connect to {cluster.rendezvous}"
    return store, Finding("nodes", f"{found}, in {cluster.timeout_s:g} s", "problem", advice), nodes


def _open_store(host: str, port: int, timeout_s: float) -> "Store":
    """Return the store at an address of this node, or of another one that holds it."""
    timeout = timedelta(seconds=timeout_s)
    # The agents of the ranks open a store at this address too, and share this one.
    connect = partial(TCPStore, host, port, timeout=timeout, wait_for_workers=False, multi_tenant=True)
    if is_here(host):
        with suppress(RuntimeError):  # another process of this node holds it already
            return connect(is_master=True)
    return in_time(partial(connect, is_master=False), timeout_s + _MARGIN_S)


def _wait_for_count(store: "Store", key: str, count: int, seconds: float) -> int:
    """Return a counter once it has reached `count`, or what it has reached when time is up."""
    deadline = time.monotonic() + seconds
    while (reached := store.add(key, 0)) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    return reached


def try_ranks(cluster: Cluster, shared: Path | None) -> Finding:
    """Start the ranks of this node, each of which runs `take_part`, and return whether all went well."""
    arguments = [] if shared is None else ["--shared", str(shared.absolute())]
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "5")  # there is no state to save
    with tempfile.TemporaryDirectory(prefix="plaudit-doctor-") as folder:
        try:
            command = ["doctor", "--worker", folder, *arguments]
            start_ranks(cluster, command, log_dir=Path(folder), run_id="plaudit-doctor")
        except TrainingInterruptedError as stop:
            raise TrainingInterruptedError(str(stop).partition(";")[0]) from None  # there is nothing to resume
        except TrainingError as error:
            reasons = sorted(Path(folder).glob("*.json"), key=lambda path: path.stat().st_mtime)
            if reasons:  # the others fail because the first one did
                return Finding(**json.loads(reasons[0].read_text()))
            found = str(error).replace(", more often than --max-restarts allows", "")
            return Finding("ranks", found, "problem", _NETWORK_ADVICE)
    found = f"{cluster.nodes * cluster.ranks_per_node} exchanged a message"
    return Finding("ranks", found if shared is None else f"{found}, and all see {shared}")


def take_part(shared: Path | None, folder: Path) -> None:
    """Be one of the ranks: join the others, send a message, and look for the shared folder.

    If this fails, the reason goes to a file in `folder` too.
    """
    try:
        _exchange_message(shared)
    except PlauditError as error:
        found, _, advice = str(error).partition("; ")
        finding = Finding("ranks", found, "problem", _NETWORK_ADVICE if isinstance(error, TrainingError) else advice)
        (folder / f"{os.environ['RANK']}.json").write_text(json.dumps(asdict(finding)))
        raise


def _exchange_message(shared: Path | None) -> None:
    with joined() as group:
        device = torch.device("cpu")
        if torch.cuda.is_available():
            device = torch.device("cuda", local_rank())
            check_free_memory(device)
        group.sum_(torch.ones(1, device=device))
        if shared is not None:
            check_shared_folder(group, shared)


def check_free_memory(device: torch.device) -> None:
    """SettingsError if another program uses the GPU."""
    free, total = torch.cuda.mem_get_info(device)
    if free < FREE_SHARE * total:
        place = f"GPU {device.index} of {socket.gethostname()}"
        raise SettingsError(f"{place}: {free / 2**30:.1f} of {total / 2**30:.1f} GiB are free; end what else uses it")


def check_shared_folder(group: Group, folder: Path) -> None:
    """Let the first rank write a file; SettingsError where another one does not see it, OutputError if it cannot."""
    if group.is_first:
        group.store.set("doctor/file", f".plaudit-doctor-{secrets.token_hex(8)}")
    path = folder / group.store.get("doctor/file").decode()
    try:
        if group.is_first:
            path.write_text("")
        group.sum_(torch.zeros(1))
        sees = _appears(path)
        group.sum_(torch.zeros(1))
    except OSError as error:
        raise OutputError(f"{folder}: not writable: {error.strerror}; create it, and share it with all nodes") from None
    finally:
        if group.is_first:
            path.unlink(missing_ok=True)
    if not sees:
        host = socket.gethostname()
        raise SettingsError(f"{folder}: {host} does not see the files of other nodes; mount the same file system there")


def _appears(path: Path) -> bool:
    deadline = time.monotonic() + _SHARED_PATIENCE_S
    while not (exists := path.exists()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return exists


def _list(names: Iterable[str]) -> str:
    """List names, each once, and only the first if there are many."""
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - NAMES_SHOWN} more" if len(distinct) > NAMES_SHOWN else ""
    return ", ".join(distinct[:NAMES_SHOWN]) + more
