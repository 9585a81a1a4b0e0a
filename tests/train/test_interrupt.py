import signal
import threading

import pytest

from plaudit.train.interrupt import SIGNALS, Interruption


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_wish(number):
    with Interruption() as interruption:
        assert not interruption.requested
        signal.raise_signal(number)
        assert interruption.requested


@pytest.mark.parametrize("number", SIGNALS)
def test_ctrl_c_after_a_signal_interrupts(number):
    with Interruption() as interruption:
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interruption.requested


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGUSR1])
def test_what_a_cluster_sends_after_a_signal_cuts_nothing_short(first, second):
    with Interruption() as interruption:
        signal.raise_signal(first)
        signal.raise_signal(second)
        assert interruption.requested


def test_signals_mean_afterwards_what_they_meant_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ValueError, match="out of the block"), Interruption():
        raise ValueError("out of the block")
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_one_within_another_gives_the_outer_one_its_signals_back():
    with Interruption() as outer:
        with Interruption() as inner:
            pass
        signal.raise_signal(signal.SIGTERM)
        assert (outer.requested, inner.requested) == (True, False)


def test_a_wish_that_came_too_late_for_one_is_left_to_the_one_around_it():
    with Interruption() as outer:
        with Interruption():
            signal.raise_signal(signal.SIGINT)
            assert not outer.requested
        assert outer.requested


def test_a_wish_that_came_before_one_began_holds_in_it():
    with Interruption():
        signal.raise_signal(signal.SIGINT)
        with Interruption() as inner:
            assert inner.requested


def test_a_thread_leaves_signals_alone():
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []

    def in_thread():
        with Interruption() as interruption:
            seen.append(interruption.requested)
            seen.append([signal.getsignal(number) for number in SIGNALS])

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert seen == [False, before]
