"""Whether nodes are fit for training with many ranks, by what each tells of itself: facts in, findings out.

To add a check, write a function and a line in NODE_CHECKS. What ranks can only tell together is in `group.py`. The
checks of GPUs have judged made-up facts only: no node with a GPU was at hand.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from plaudit.distributed.doctor.facts import Facts, Gpu

MEMORY_PER_RANK_BYTES = 2 << 30
"""torch alone takes 0.2 GiB (measured); encoded reviews, weights and the optimizer's state come on top."""
SHM_BYTES = 1 << 30
"""What NVIDIA starts its containers with; NCCL talks through it, and Docker's 64 MiB can end it by a crash."""
OPEN_FILES = 512
"""Python, torch and a run's own files; a rank opens under 30 of them (measured) before it trains."""
OPEN_FILES_PER_PEER = 16
"""gloo opens 2 (measured); the rest is room for NCCL, which opens several channels to a peer."""
SHARED_DISK_BYTES = 10 << 30
"""A run keeps each model's weights many times over: checkpoints with the optimizer's state, the best epoch, the bundle.
"""
NAMES_SHOWN = 8
"""Ranks or hosts that a finding names, so that those of a large cluster fit a screen."""

Status: TypeAlias = Literal["ok", "warning", "problem"]
_COLOURS: dict[Status, str] = {"ok": "green", "warning": "yellow", "problem": "bold red"}


@dataclass(frozen=True)
class Finding:
    """What a check found, and what to do about it."""

    name: str
    found: str
    status: Status = "ok"
    advice: str = ""


def versions(ranks: Sequence[Facts]) -> Finding:
    """Judge whether all ranks run the same software."""
    told: dict[str, list[Facts]] = {}
    for facts in ranks:
        text = f"plaudit {facts.plaudit}, torch {facts.torch}, Python {facts.python}"
        told.setdefault(text, []).append(facts)
    usual = max(told, key=lambda text: len(told[text]))
    found = "; but ".join([usual, *(f"{text} at {at(members)}" for text, members in told.items() if text != usual)])
    if len(told) == 1:
        return Finding("versions", found)
    differ = len({(facts.plaudit, facts.torch) for facts in ranks}) > 1
    return Finding("versions", found, "problem" if differ else "warning", "install the same versions on every node")


def gpus(ranks: Sequence[Facts]) -> Finding:
    """Judge whether each rank has a GPU of its own, and of one kind, or none has any."""
    kinds = Counter(_kind(facts.gpus) for facts in _nodes(ranks))
    found = "; ".join(kind if len(kinds) == 1 else f"{kind} on {count(n, 'node')}" for kind, n in kinds.items())
    without = [facts for facts in _nodes(ranks) if not facts.gpus]
    if without and len(kinds) > 1:
        advice = "leave those nodes out, or let torch see their GPUs: the driver's line may say why it does not"
        return Finding("GPUs", f"none at {_hosts(without)}; {found}", "problem", advice)
    if without:
        return Finding("GPUs", "none; ranks use processors")
    fewest = min(len(facts.gpus) for facts in ranks)
    if any(facts.ranks_of_node > len(facts.gpus) for facts in ranks):
        return Finding("GPUs", found, "problem", f"ranks need one each: give --gpus-per-node {fewest}")
    if len({(gpu.name, gpu.memory_bytes) for facts in ranks for gpu in facts.gpus}) > 1:
        return Finding("GPUs", found, "warning", "the slowest sets the pace of all; take nodes of one kind")
    if any(facts.ranks_of_node < len(facts.gpus) for facts in ranks):
        return Finding("GPUs", found, "warning", f"some are idle: --gpus-per-node {fewest} uses more")
    return Finding("GPUs", found)


def driver(ranks: Sequence[Facts]) -> Finding:
    """Judge whether torch sees what NVIDIA's driver drives."""
    nodes = _nodes(ranks)
    found = some(facts.driver or "none" for facts in nodes)
    failing = [facts for facts in nodes if facts.driver_failure]
    blind = [facts for facts in nodes if facts.driver and not facts.gpus]
    if failing:
        found = f"nvidia-smi at {_hosts(failing)}: {failing[0].driver_failure}"
        return Finding("NVIDIA driver", found, "warning", "repair the driver, or restart the node")
    if any(facts.cuda is None for facts in blind):
        advice = "this torch is built for processors only: install one for CUDA, see pytorch.org/get-started"
        return Finding("NVIDIA driver", f"{found}, but no GPU in torch at {_hosts(blind)}", "warning", advice)
    if blind:
        advice = f"see CUDA_VISIBLE_DEVICES, or take a driver that knows CUDA {blind[0].cuda}, which torch is built for"
        return Finding("NVIDIA driver", f"{found}, but no GPU in torch at {_hosts(blind)}", "warning", advice)
    return Finding("NVIDIA driver", found)


def bf16(ranks: Sequence[Facts]) -> Finding:
    """Judge whether all ranks would choose the same arithmetic."""
    without = [facts for facts in _nodes(ranks) if not facts.has_bf16]
    if not without:
        return Finding("bf16", "yes")
    if any(facts.has_bf16 for facts in ranks):
        advice = 'set train.precision = "fp32": ranks would otherwise compute in different ones'
        return Finding("bf16", f"not at {_hosts(without)}", "warning", advice)
    return Finding("bf16", "no; training computes in fp32")


def cores(ranks: Sequence[Facts]) -> Finding:
    """Judge whether each rank has a core."""
    least = min(ranks, key=lambda facts: facts.cores / facts.ranks_of_node)
    found = f"{count(least.cores, 'core')} for {count(least.ranks_of_node, 'rank')} at {least.host}"
    if least.cores >= least.ranks_of_node:
        return Finding("cores", found)
    advice = "start fewer ranks, or let them use more cores: taskset, or under Slurm --cpus-per-task"
    return Finding("cores", found, "warning", advice)


def memory(ranks: Sequence[Facts]) -> Finding:
    """Judge whether there is memory for each rank."""
    told = [
        (facts, None if facts.memory_free_bytes is None else facts.memory_free_bytes // facts.ranks_of_node)
        for facts in ranks
    ]
    advice = f"a rank takes some {_size(MEMORY_PER_RANK_BYTES)}: end what else runs there, or ask Slurm by --mem"
    return _least("free memory", told, MEMORY_PER_RANK_BYTES, advice, each=" a rank")


def shm(ranks: Sequence[Facts]) -> Finding:
    """Judge whether GPUs of a node have the shared memory that NCCL wants; gloo wants none."""
    told = [(facts, facts.shm_free_bytes) for facts in ranks]
    wanted = SHM_BYTES if any(facts.gpus for facts in ranks) else 0
    return _least("/dev/shm", told, wanted, f"NCCL wants {_size(SHM_BYTES)}; Docker: --shm-size=1g")


def open_files(ranks: Sequence[Facts]) -> Finding:
    """Judge whether a rank may open a connection to each other one."""
    limits = [(facts.open_files, facts.host) for facts in ranks if facts.open_files is not None]
    wanted = OPEN_FILES + OPEN_FILES_PER_PEER * (ranks[0].size - 1)
    if not limits:
        return Finding("open files", "no limit")
    least, host = min(limits)
    if least >= wanted:
        return Finding("open files", f"{least:,} at {host}")
    advice = f"each of {ranks[0].size} ranks may need {wanted:,}: ulimit -n {wanted}"
    return Finding("open files", f"{least:,} at {host}", "warning", advice)


def shared_disk(ranks: Sequence[Facts]) -> Finding:
    """Judge whether the folder of runs is there and has room."""
    folder = ranks[0].shared
    if folder is None:
        return Finding("disk of --shared", "not looked at", advice="give --shared DIR, the folder that runs go to")
    missing = [facts for facts in _nodes(ranks) if facts.shared_free_bytes is None]
    if missing:
        found = f"no {folder} at {_hosts(missing)}"
        return Finding("disk of --shared", found, "problem", "make the folder, and mount it on every node")
    told = [(facts, facts.shared_free_bytes) for facts in ranks]
    return _least("disk of --shared", told, SHARED_DISK_BYTES, "free some: runs keep checkpoints there")


NODE_CHECKS: tuple[Callable[[Sequence[Facts]], Finding], ...] = (
    versions,
    gpus,
    driver,
    bf16,
    cores,
    memory,
    shm,
    open_files,
    shared_disk,
)


def _least(name: str, told: Iterable[tuple[Facts, int | None]], wanted: int, advice: str, each: str = "") -> Finding:
    known = [(size_bytes, facts.host) for facts, size_bytes in told if size_bytes is not None]
    if not known:
        return Finding(name, "cannot be told here")
    least, host = min(known)
    found = f"{_size(least)}{each} at {host}"
    return Finding(name, found) if least >= wanted else Finding(name, found, "warning", advice)


def _nodes(ranks: Iterable[Facts]) -> list[Facts]:
    """Return the facts of one rank of each node."""
    return list({facts.node: facts for facts in ranks}.values())


def at(ranks: Sequence[Facts]) -> str:
    """Name ranks and their hosts."""
    return f"{'ranks' if len(ranks) > 1 else 'rank'} {some(facts.rank for facts in ranks)} ({_hosts(ranks)})"


def some(names: Iterable[object]) -> str:
    """List names, each once and the first of them if they are many."""
    texts = list(dict.fromkeys(map(str, names)))
    more = f" and {len(texts) - NAMES_SHOWN} more" if len(texts) > NAMES_SHOWN else ""
    return ", ".join(texts[:NAMES_SHOWN]) + more


def _hosts(ranks: Iterable[Facts]) -> str:
    return some(facts.host for facts in ranks)


def _kind(gpus: Sequence[Gpu]) -> str:
    counts = Counter(f"{gpu.name} ({_size(gpu.memory_bytes)}, {gpu.capability})" for gpu in gpus)
    return ", ".join(f"{number} × {kind}" for kind, number in counts.items()) or "none"


def count(number: int, what: str) -> str:
    """Say how many there are of what."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def render(findings: Iterable[Finding], console: Console) -> None:
    """Print findings as a table."""
    table = Table("check", "found", "", "what to do", box=SIMPLE_HEAD, pad_edge=False)
    for finding in findings:
        status = f"[{_COLOURS[finding.status]}]{finding.status}[/]"
        table.add_row(finding.name, escape(finding.found), status, escape(finding.advice))
    console.print(table)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:,.1f} GiB"
