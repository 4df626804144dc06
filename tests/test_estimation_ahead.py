"""Items made ahead come in order, with their errors, and stop when nobody wants them."""

from __future__ import annotations

import threading

import pytest

from pavas_core.estimation.ahead import ahead, watched


@pytest.mark.parametrize("count", [0, 1, 100])
def test_items_come_in_order(count):
    assert list(ahead(iter(range(count)), most=3)) == list(range(count))


def test_an_error_is_raised_where_its_item_would_have_come():
    def items():
        yield 1
        raise ValueError("two")

    seen = []
    with pytest.raises(ValueError, match="two"):
        seen.extend(ahead(items()))
    made = ahead(items())
    assert next(made) == 1


def test_leaving_the_loop_ends_the_thread_and_the_iterator():
    made = []

    def items():
        for index in range(10_000):
            made.append(index)
            yield index

    for index in ahead(items(), most=4):
        if index == 10:
            break
    else:
        raise AssertionError("the loop did not end")
    assert len(made) < 10_000
    assert not [thread for thread in threading.enumerate() if thread.name == "pavas-ahead"]


def test_watched_work_gives_its_result_or_its_error():
    assert watched(lambda: 7, lambda: None) == 7

    def fails():
        raise ValueError("seven")

    with pytest.raises(ValueError, match="seven"):
        watched(fails, lambda: None)


def test_a_cancel_does_not_wait_for_the_work():
    class Cancelled(BaseException):
        pass

    looked, over = [], threading.Event()

    def check():
        looked.append(1)
        if len(looked) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        watched(over.wait, check)
    over.set()
