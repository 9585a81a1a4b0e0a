"""Many ranks on this machine: processes forked off one that has imported torch already, joined by gloo."""

import multiprocessing
import os
import pickle
import sys
import time
import traceback
from multiprocessing import forkserver
from multiprocessing.connection import wait

import pytest
import torch
from torch.distributed import TCPStore

from plaudit import device as peak
from plaudit.distributed.group import joined
from plaudit.errors import PlauditError
from tests.train.conftest import one_thread  # noqa: F401  # the fixture serves here too

FORKS = multiprocessing.get_context("forkserver")
SECONDS = 100


@pytest.fixture(scope="session", autouse=True)
def warm_forks():
    """Start the process that all others are forked off, which does once what takes seconds."""
    FORKS.set_forkserver_preload(["tests.distributed.warm"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # Python 3.11 does not tell it
        forkserver.ensure_running()


def in_ranks(function, *arguments, size=2, lost=(), seconds=SECONDS, **environment):
    """Return what function(group, *arguments) returns in each rank of a new world, or the error of ours it ends in.

    Ranks that are `lost` are not expected to return anything: they are killed once the others have.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # held by who starts them, as by torchrun
    world = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    world["TORCHELASTIC_USE_AGENT_STORE"] = str(True)
    processes, ends = [], []
    try:
        for rank in range(size):
            ours, theirs = FORKS.Pipe(duplex=False)
            variables = {**world, "RANK": str(rank), **environment}
            process = FORKS.Process(target=be_a_rank, args=(theirs, variables, function, arguments))
            process.start()
            theirs.close()
            processes.append(process)
            ends.append(ours)
        return outcomes({rank: end for rank, end in enumerate(ends) if rank not in lost}, seconds)
    finally:
        for process, end in zip(processes, ends, strict=True):
            end.close()
            process.kill()
            process.join()
            process.close()


def outcomes(ends, seconds):
    """Return what each rank sends, in their order; fail at the first that breaks, for the others wait for it."""
    found, deadline = {}, time.monotonic() + seconds
    while len(found) < len(ends):
        waited_for = {end: rank for rank, end in ends.items() if rank not in found}
        for end in wait(waited_for, max(0, deadline - time.monotonic())):
            try:
                failure, found[waited_for[end]] = pickle.loads(end.recv_bytes())
            except EOFError:
                failure = "it died"
            assert failure is None, f"rank {waited_for[end]}: {failure}"
        assert time.monotonic() < deadline, f"ranks {list(waited_for.values())} did not end"
    return [found[rank] for rank in ends]


def be_a_rank(end, variables, function, arguments):
    """Run a function among the others that were started with this process, and send what comes of it."""
    os.environ.update(variables)
    torch.set_num_threads(1)
    peak.SIZE["cpu"] = 64  # no test reads what it measures
    try:
        try:
            with joined() as group:
                value = function(group, *arguments)
        except PlauditError as error:
            value = error
        # Not by `send`, which shares a tensor's memory as long as both processes live.
        end.send_bytes(pickle.dumps((None, value)))
    except BaseException:
        end.send_bytes(pickle.dumps((traceback.format_exc(), None)))
