"""Starting the ranks of a node under torchrun's elastic agent, which starts them again if one dies.

Every node runs this; the agents meet at the rendezvous, agree on who has which rank, and watch their processes. When
one is lost, all ranks of all nodes begin again from the last checkpoint (`--resume`).
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous.api import RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from plaudit.distributed.group import DEFAULT_TIMEOUT_S, TIMEOUT_VARIABLE, address_towards, is_here
from plaudit.errors import OutputError, SettingsError, TrainingError, TrainingInterruptedError

DEFAULT_PORT = 29_400
_SECONDS_TO_STOP = 120
"""Ranks save their state when they next look up from their work, every `log_every_steps`."""


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
        """Raise SettingsError if nodes could not meet."""
        if self.nodes > 1 and self.rendezvous is None:
            raise SettingsError(f"{self.nodes} nodes have to meet: give --rendezvous HOST:PORT, a port of one of them")
        if self.rendezvous is not None:
            host, _, port = self.rendezvous.rpartition(":")
            if not host or not port.isdigit():
                raise SettingsError(f"--rendezvous {self.rendezvous}: write it as HOST:PORT, for example node1:29400")
            if address_towards(host) is None:
                raise SettingsError(f"--rendezvous {self.rendezvous}: no way to {host}; give a name that resolves here")


def ranks_here() -> int:
    """Return the number of GPUs of this node, or one for the processor if it has none."""
    return torch.cuda.device_count() or 1


def start_ranks(cluster: Cluster, arguments: Sequence[str], *, log_dir: Path, run_id: str) -> None:
    """Run `plaudit ARGUMENTS` in every rank of this node until all are done; the first one has the terminal.

    What the others print goes to files in `log_dir`, a folder for each node. TrainingError names a rank that failed
    more often than `max_restarts`. TrainingInterruptedError after SIGINT, SIGTERM or SIGUSR1, when ranks have saved
    their state.
    """
    cluster.check()
    log_dir /= socket.gethostname()
    try:
        log_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{log_dir}: cannot be made: {error.strerror}; choose another --out folder") from None
    host = "localhost" if cluster.rendezvous is None else cluster.rendezvous.rpartition(":")[0]
    num_threads = max(1, len(os.sched_getaffinity(0)) // cluster.ranks_per_node)
    os.environ.setdefault("OMP_NUM_THREADS", str(num_threads))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(_SECONDS_TO_STOP))
    os.environ[TIMEOUT_VARIABLE] = str(cluster.timeout_s)
    # The agents' own store outlives a restart, and ranks would find the addresses of those that died in it.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    logging.disable(logging.ERROR)  # torch's many loggers; what matters, we say in one line
    config = LaunchConfig(
        min_nodes=cluster.nodes,
        max_nodes=cluster.nodes,
        nproc_per_node=cluster.ranks_per_node,
        run_id=run_id,
        rdzv_backend="c10d",
        rdzv_endpoint=cluster.rendezvous or "localhost:0",
        rdzv_configs=_holds_rendezvous(host),
        max_restarts=cluster.max_restarts,
        local_addr=address_towards(host),
        logs_specs=DefaultLogsSpecs(
            log_dir=str(log_dir), redirects=dict.fromkeys(range(1, cluster.ranks_per_node), Std.ALL)
        ),
    )
    # Slurm's usual warning is one that the agent does not know.
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    try:
        elastic_launch(config, sys.executable)("-m", "plaudit", *arguments)
    except SignalException as stop:
        raise TrainingInterruptedError(f"stopped by {stop.sigval.name}; go on with --resume") from None
    except ChildFailedError as failed:
        raise TrainingError(_explain(failed, log_dir)) from None
    except RendezvousError as error:
        raise TrainingError(f"the nodes did not meet at {cluster.rendezvous}: {error}") from None


def _holds_rendezvous(host: str) -> dict[str, bool]:
    """Say whether this node is the one where nodes meet: torch goes by its name, which may lead to another address.

    On the loopback, where all agents have the same address, it is the one that comes first, and torch finds that out.
    """
    return {} if socket.gethostbyname(host).startswith("127.") else {"is_host": is_here(host)}


def _explain(failed: ChildFailedError, log_dir: Path) -> str:
    rank, failure = failed.get_first_failure()
    how = f"was ended by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with status {failure.exitcode}"
    why = ""
    # What it told, unless it told that to the terminal.
    logs = log_dir.glob(f"*/attempt_*/{failure.local_rank}/stderr.log")
    log = max(logs, key=lambda path: path.stat().st_mtime, default=None)
    if log is not None:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        why = f": {lines[-1].removeprefix('error: ')} ({log})" if lines else f" ({log})"
    return f"rank {rank} (process {failure.pid} of this node) {how}, more often than --max-restarts allows{why}"
