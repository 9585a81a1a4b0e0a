"""Start the ranks of a node under torchrun's elastic agent, which restarts them if one dies.

Every node runs this. The agents meet at the rendezvous, agree on who has which rank, and watch their processes. When
one is lost, all ranks of all nodes restart from the last checkpoint.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented, though not in its __all__
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from plaudit.distributed.group import DEFAULT_TIMEOUT_S, TIMEOUT_VARIABLE, address_towards, in_time, is_here
from plaudit.errors import OutputError, SettingsError, TrainingError, TrainingInterruptedError
from plaudit.threads import num_threads

DEFAULT_PORT = 29_400
_SECONDS_TO_STOP = 120
"""Ranks notice a signal, and save their state, every `log_every_steps` steps only."""


@dataclass(frozen=True)
class Cluster:
    """Nodes, ranks on each, and where they meet: "HOST:PORT", or None on one node."""

    nodes: int = 1
    ranks_per_node: int = 1
    rendezvous: str | None = None
    max_restarts: int = 3
    timeout_s: float = DEFAULT_TIMEOUT_S
    """How long a rank waits for another's message."""

    def check(self) -> None:
        """Raise SettingsError if the nodes cannot meet."""
        if self.nodes > 1 and self.rendezvous is None:
            raise SettingsError(f"{self.nodes} nodes have to meet: give --rendezvous HOST:PORT, a node and a free port")
        if self.rendezvous is not None:
            host, _, port = self.rendezvous.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 1 << 16:
                raise SettingsError(f"--rendezvous {self.rendezvous}: write it as HOST:PORT, for example node1:29400")
            if address_towards(host) is None:
                raise SettingsError(f"--rendezvous {self.rendezvous}: cannot reach {host}; give a name that resolves")


def ranks_here() -> int:
    """Return how many ranks this node gets by default: one per GPU, or one if there is none."""
    return torch.cuda.device_count() or 1


def start_ranks(cluster: Cluster, arguments: Sequence[str], *, log_dir: Path, run_id: str) -> None:
    """Run `plaudit ARGUMENTS` in every rank of this node until all are done; the first one has the terminal.

    The output of the others goes to files in `log_dir`, a folder for each node. TrainingError names a rank that failed
    more often than `max_restarts`. TrainingInterruptedError after SIGINT, SIGTERM or SIGUSR1, when ranks have saved
    their state.
    """
    cluster.check()
    if cluster.rendezvous is not None:
        reach(cluster.rendezvous, cluster.timeout_s)
    log_dir /= socket.gethostname()
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{log_dir}: cannot be created: {error.strerror}; choose another --out folder") from None
    _prepare_environment(cluster)
    logging.disable(logging.ERROR)  # torch's many loggers; we report what matters in one line
    # Slurm's usual warning is a signal that the agent does not know.
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        elastic_launch(_launch_config(cluster, log_dir, run_id), sys.executable)("-m", "plaudit", *arguments)
    except SignalException as stop:
        raise TrainingInterruptedError(f"stopped by {stop.sigval.name}; continue with --resume") from None
    except ChildFailedError as failed:
        raise TrainingError(_explain(failed, log_dir)) from None
    except RendezvousError as error:
        reason = str(error.__cause__ or error).partition("\n")[0]  # C++ frames follow
        raise TrainingError(f"the nodes did not meet at {cluster.rendezvous or 'localhost'}: {reason}") from None


def reach(rendezvous: str, timeout_s: float) -> None:
    """Return if agents can meet at HOST:PORT: it is free on this node, or a store of torch's answers there.

    SettingsError if another program has the port or nothing answers in time. torch itself would wait for ever.
    """
    host, _, port = rendezvous.rpartition(":")
    if (here := is_here(host)) and not _is_taken(host, int(port)):
        return
    timeout = timedelta(seconds=timeout_s)
    connect = partial(TCPStore, host, int(port), is_master=False, timeout=timeout, wait_for_workers=False)
    try:
        in_time(connect, timeout_s)
    except (RuntimeError, OSError):
        advice = f"start plaudit launch on {host} too, and open port {port} in its firewall or choose another one"
        reason = (
            "another program has this port; choose a free one" if here else f"no answer in {timeout_s:g} s; {advice}"
        )
        raise SettingsError(f"--rendezvous {rendezvous}: {reason}") from None


def _is_taken(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _prepare_environment(cluster: Cluster) -> None:
    """Set the variables that ranks inherit, unless the user has set them."""
    threads = max(1, num_threads() // cluster.ranks_per_node)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SECONDS_TO_STOP))
    os.environ[TIMEOUT_VARIABLE] = str(cluster.timeout_s)
    # The agents' own store outlives a restart, and ranks would find the addresses of those that died in it.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"


def _launch_config(cluster: Cluster, log_dir: Path, run_id: str) -> LaunchConfig:
    host = "localhost" if cluster.rendezvous is None else cluster.rendezvous.rpartition(":")[0]
    # torch finds the node where all meet by its name, which may lead to another address. On the loopback, where all
    # agents have the same address, it is the one that comes first, and torch finds that out.
    is_loopback = socket.gethostbyname(host).startswith("127.")
    to_files = dict.fromkeys(range(1, cluster.ranks_per_node), Std.ALL)
    return LaunchConfig(
        min_nodes=cluster.nodes,
        max_nodes=cluster.nodes,
        nproc_per_node=cluster.ranks_per_node,
        run_id=run_id,
        rdzv_backend="c10d",
        rdzv_endpoint=cluster.rendezvous or "localhost:0",
        rdzv_configs={} if is_loopback else {"is_host": is_here(host)},
        max_restarts=cluster.max_restarts,
        local_addr=address_towards(host),
        logs_specs=DefaultLogsSpecs(log_dir=str(log_dir), redirects=to_files),
    )


def _explain(failed: ChildFailedError, log_dir: Path) -> str:
    """Return which rank failed, how, and the last line of its log if it has one."""
    rank, failure = failed.get_first_failure()
    how = f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with status {failure.exitcode}"
    reason = ""
    logs = log_dir.glob(f"*/attempt_*/{failure.local_rank}/stderr.log")
    log = max(logs, key=lambda path: path.stat().st_mtime, default=None)
    if log is not None:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        reason = f": {lines[-1].removeprefix('error: ')} ({log})" if lines else f" ({log})"
    return f"rank {rank} (process {failure.pid} of this node) {how}, more often than --max-restarts allows{reason}"
