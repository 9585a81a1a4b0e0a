import asyncio
import threading

import pytest

from plaudit.serve.batching import Batcher

FAST, SLOW = 0.0, 1.0


@pytest.mark.parametrize("seconds_per_character", [FAST, SLOW])
def test_requests_of_one_moment_are_judged_in_one_call(seconds_per_character):
    calls = []

    def judge(texts):
        calls.append(list(texts))
        return [text.upper() for text in texts]

    async def crowd():
        batcher = Batcher(judge, wait_ms=5, seconds_per_character=seconds_per_character)
        return await asyncio.gather(batcher.submit(["a", "b"]), batcher.submit(["c"]), batcher.submit([]))

    assert asyncio.run(crowd()) == [["A", "B"], ["C"], []]
    assert calls == [["a", "b", "c"]]


def test_what_arrives_while_a_batch_is_judged_is_the_next_batch():
    calls, started, released = [], threading.Event(), threading.Event()

    def judge(texts):
        calls.append(list(texts))
        started.set()
        assert released.wait(10)
        return texts

    async def crowd():
        batcher = Batcher(judge, wait_ms=0, seconds_per_character=SLOW)
        first = batcher.submit(["a"])
        await asyncio.to_thread(started.wait, 10)
        others = [batcher.submit([text]) for text in "bcd"]
        await asyncio.sleep(0.02)
        released.set()
        return await asyncio.gather(first, *others)

    assert asyncio.run(crowd()) == [["a"], ["b"], ["c"], ["d"]]
    assert calls == [["a"], ["b", "c", "d"]]


def test_a_batch_takes_no_more_requests_once_it_is_long(monkeypatch):
    calls = []
    monkeypatch.setattr("plaudit.serve.batching.MAX_BATCH_CHARACTERS", 4)

    def judge(texts):
        calls.append(len(texts))
        return texts

    async def crowd():
        batcher = Batcher(judge, wait_ms=0, seconds_per_character=FAST)
        return await asyncio.gather(*(batcher.submit(["abc"]) for _ in range(5)))

    assert asyncio.run(crowd()) == [["abc"]] * 5
    assert calls == [2, 2, 1]


@pytest.mark.parametrize("seconds_per_character", [FAST, SLOW])
def test_an_error_reaches_every_request_of_its_batch_and_no_other(seconds_per_character):
    def judge(texts):
        if "bad" in texts:
            raise ZeroDivisionError
        return texts

    async def crowd():
        batcher = Batcher(judge, wait_ms=0, seconds_per_character=seconds_per_character)
        failed = await asyncio.gather(batcher.submit(["bad"]), batcher.submit(["a"]), return_exceptions=True)
        return failed, await batcher.submit(["a"])

    failed, after = asyncio.run(crowd())
    assert [type(error) for error in failed] == [ZeroDivisionError, ZeroDivisionError]
    assert after == ["a"]


def test_a_cancelled_request_leaves_the_others_theirs():
    async def crowd():
        batcher = Batcher(list, wait_ms=5, seconds_per_character=FAST)
        kept, cancelled = batcher.submit(["a"]), batcher.submit(["b"])
        cancelled.cancel()
        return await kept, cancelled.cancelled()

    assert asyncio.run(crowd()) == (["a"], True)


def test_the_event_loop_goes_on_while_a_thread_judges():
    async def crowd():
        went_on = threading.Event()
        batcher = Batcher(lambda texts: [went_on.wait(timeout=10)], wait_ms=0, seconds_per_character=SLOW)
        judged = batcher.submit(["a"])
        await asyncio.sleep(0.01)
        went_on.set()
        return await judged

    assert asyncio.run(crowd()) == [True]


@pytest.mark.parametrize("seconds_per_character", [FAST, SLOW])
def test_closing_finishes_what_waits_and_lets_go_of_the_thread(seconds_per_character):
    async def crowd():
        batcher = Batcher(list, wait_ms=5, seconds_per_character=seconds_per_character)
        waiting = batcher.submit(["a"])
        batcher.close()
        return await waiting, batcher

    found, batcher = asyncio.run(crowd())
    assert found == ["a"]
    with pytest.raises(RuntimeError, match="shutdown"):
        batcher._thread.submit(print)
