"""`plaudit doctor`: `examine` starts ranks on this node, as for training, and each of them takes part.

Nodes and then ranks first call at a store, so that those that do not are told from those that do; ranks leave their
facts there. Then they join, measure, and the first one judges. Its node's `examine` returns what it found.
"""

import json
import os
import socket
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import TypeAdapter
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented, though not in its __all__

from plaudit.distributed.doctor.facts import Facts, probe
from plaudit.distributed.doctor.group import Meeting, judge
from plaudit.distributed.doctor.measure import measure
from plaudit.distributed.doctor.node import Finding, gpus, some
from plaudit.distributed.group import TIMEOUT_VARIABLE, in_time, is_here, joined
from plaudit.distributed.launch import Cluster, start_ranks
from plaudit.errors import TrainingError, TrainingInterruptedError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_SECONDS_TO_STOP = "5"
"""After Ctrl-C; training gives ranks more, in which they save their state."""
_MARGIN_S = 0.5
"""torch itself gives up in time where nobody answers; only then is it given up on."""
_PATIENCE_S = 20.0
"""Ranks that gave up do not end before the first one, which waits up to 5 s for their word, has said why."""


@dataclass(frozen=True)
class Examination:
    """What an examination found; the findings are known on the node of the first rank only."""

    findings: tuple[Finding, ...]
    has_problem: bool


_EXAMINATION = TypeAdapter(Examination)


def ranks_by_default(nodes: int) -> int:
    """Return how many ranks a node gets: one for each GPU, or one without any, or two so that they can talk."""
    return torch.cuda.device_count() or (2 if nodes == 1 else 1)


def examine(cluster: Cluster, arguments: Sequence[str]) -> Examination:
    """Run `plaudit ARGUMENTS --worker FOLDER` in every rank of this node, where `take_part` writes what it found."""
    cluster.check()
    if cluster.nodes > 1:
        _store, finding = call_nodes(cluster)  # which other nodes may talk to, so it is kept to the end
        if finding.status == "problem":
            return Examination((finding,), has_problem=True)
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", _SECONDS_TO_STOP)
    with tempfile.TemporaryDirectory(prefix="plaudit-doctor-") as name:
        folder, failure = Path(name), None
        try:
            start_ranks(cluster, [*arguments, "--worker", name], log_dir=folder / "logs", run_id="plaudit-doctor")
        except TrainingInterruptedError as stop:
            raise TrainingInterruptedError(str(stop).partition(";")[0]) from None  # there is nothing to resume
        except TrainingError as error:
            failure = error
        told = [_EXAMINATION.validate_json(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    findings = next((one.findings for one in told if one.findings), ())
    has_problem = any(one.has_problem for one in told)
    if failure is not None and not has_problem:
        found = str(failure).replace(", more often than --max-restarts allows", "")
        advice = "see why: other jobs there may have taken its memory, which the log of the kernel tells (dmesg)"
        return Examination((*findings, Finding("ranks", found, "problem", advice)), has_problem=True)
    return Examination(findings, has_problem)


def call_nodes(cluster: Cluster) -> tuple["Store | None", Finding]:
    """Wait until all nodes are at the rendezvous, which the node that it names serves; say which came."""
    host, _, port = str(cluster.rendezvous).rpartition(":")
    try:
        store = _serve_or_ask(host, int(port), serve=is_here(host), timeout_s=cluster.timeout_s)
        number = store.add("doctor/nodes", 1)
        store.set(f"doctor/node/{number}", socket.gethostname())
        deadline = time.monotonic() + cluster.timeout_s
        while (came := store.add("doctor/nodes", 0)) < cluster.nodes and time.monotonic() < deadline:
            time.sleep(0.05)
        hosts = [store.get(f"doctor/node/{number}").decode() for number in range(1, came + 1)]
    except (RuntimeError, OSError):  # as torch says that nobody answers, or no longer
        advice = f"start plaudit doctor on {host} too, let its firewall pass port {port}, or take one that is free"
        found = f"nobody answers at {cluster.rendezvous} for {cluster.timeout_s:g} s"
        return None, Finding("nodes", found, "problem", advice)
    found = f"{came} of {cluster.nodes} came to {cluster.rendezvous}: {some(hosts)}"
    if came >= cluster.nodes:
        return store, Finding("nodes", found)
    advice = f"start plaudit doctor on the others too, and see that they get through to {cluster.rendezvous}"
    return store, Finding("nodes", f"{found}; the others did not in {cluster.timeout_s:g} s", "problem", advice)


def take_part(shared: Path | None, folder: Path, *, version: str) -> int:
    """Be one of the ranks; leave in `folder` what came of it, and return the exit status."""
    facts = probe(shared, version=version)
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    timeout_s = float(os.environ[TIMEOUT_VARIABLE])
    is_first, meeting = facts.rank == 0, None
    serves = is_first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True)
    try:
        store = _serve_or_ask(host, port, serve=serves, timeout_s=timeout_s)
        store.set(f"doctor/rank/{facts.rank}", facts.model_dump_json())
        if is_first:
            meeting = call_ranks(store, facts, place=f"{host}:{port}", timeout_s=timeout_s)
            store.set("doctor/word", "join" if may_join(meeting) else "stop")
        store.set_timeout(timedelta(seconds=2 * timeout_s))  # the first one waits for the last one that long
        joins = store.get("doctor/word") == b"join"
    except (RuntimeError, TimeoutError):
        found = f"rank {facts.rank} ({facts.host}) gets no answer from the first one, at {host}:{port}"
        advice = "see whether that runs, and let ranks reach each other at every port"
        _leave(folder, facts.rank, Examination((Finding("ranks", found, "problem", advice),), has_problem=True))
        return 1
    outcome = measure_together(facts, meeting, shared) if joins else None
    if isinstance(outcome, Examination):
        _leave(folder, facts.rank, outcome)
        return 0
    findings = judge(replace(meeting, failure=outcome), None) if meeting is not None else ()
    _leave(folder, facts.rank, Examination(findings, has_problem=True))
    with suppress(RuntimeError):  # the first one may be what failed
        if is_first:
            store.set("doctor/told", "yes")
        else:
            store.wait(["doctor/told"], timedelta(seconds=_PATIENCE_S))
    return 1


def call_ranks(store: "Store", first: Facts, *, place: str, timeout_s: float) -> Meeting:
    """Wait until all ranks have left their facts, or time is up."""
    start = time.monotonic()
    told = {first.rank: first}
    while len(told) < first.size and time.monotonic() - start < timeout_s:
        for rank in range(first.size):
            if rank not in told and store.check([f"doctor/rank/{rank}"]):
                # One that runs another plaudit, as `versions` will tell, may know of fewer facts.
                facts = first.model_dump() | json.loads(store.get(f"doctor/rank/{rank}"))
                told[rank] = Facts.model_validate(facts)
        time.sleep(0.02)
    return Meeting(tuple(told[rank] for rank in sorted(told)), time.monotonic() - start, place)


def may_join(meeting: Meeting) -> bool:
    """Say whether ranks would understand each other: all are there, of one kind, and run the same plaudit."""
    same = len({facts.plaudit for facts in meeting.ranks}) == 1
    return not meeting.missing and same and gpus(meeting.ranks).status != "problem"


def measure_together(facts: Facts, meeting: Meeting | None, shared: Path | None) -> Examination | str:
    """Join the others and measure; return what was found, or why nothing was. The first rank judges."""
    findings: tuple[Finding, ...] = ()
    try:
        with joined() as group:
            measured = measure(group, node=facts.node, shared=shared)
            if meeting is not None:
                findings = judge(meeting, measured)
            problems = torch.tensor([sum(finding.status == "problem" for finding in findings)])
            group.sum_(problems)  # for the exit status on every node
        return Examination(findings, has_problem=bool(problems))
    except (TrainingError, RuntimeError) as error:  # a RuntimeError is torch's, on the way to the others
        return str(error).partition("\n")[0]


def _leave(folder: Path, rank: int, examination: Examination) -> None:
    (folder / f"{rank:06}.json").write_bytes(_EXAMINATION.dump_json(examination))


def _serve_or_ask(host: str, port: int, *, serve: bool, timeout_s: float) -> "Store":
    """Return the store at an address. A process that serves it shares it with whatever in it opens the same."""
    connect = partial(
        TCPStore, host, port, timeout=timedelta(seconds=timeout_s), wait_for_workers=False, multi_tenant=True
    )
    if serve:
        with suppress(RuntimeError):  # another process of this node serves it already
            return connect(is_master=True)
    # torch waits for ever if the port is another program's.
    return in_time(partial(connect, is_master=False), timeout_s + _MARGIN_S)
