"""Items made ahead come in order, with their errors, and stop when nobody wants them."""

from __future__ import annotations

import threading
from itertools import count

import pytest

from pavas_core.estimation.ahead import ahead, watched


class Cancelled(BaseException):
    """A host's own interruption."""


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "pavas-ahead"]


def endless(made):
    """Numbers, each written to ``made`` when it is made."""

    def make(check):
        for index in count():
            made.append(index)
            yield index

    return make


@pytest.mark.parametrize("length", [0, 1, 100])
@pytest.mark.parametrize("most", [1, 3])
def test_items_come_in_order(length, most):
    assert list(ahead(lambda _: range(length), most)) == list(range(length))


def test_an_error_is_raised_where_its_item_would_have_come():
    def items(check):
        yield 1
        raise ValueError("two")

    seen = []
    with pytest.raises(ValueError, match="two"):
        seen.extend(ahead(items))
    made = ahead(items)
    assert next(made) == 1
    made.close()


def test_an_error_before_the_first_item_is_raised_too():
    def make(check):
        raise ValueError("none")

    with pytest.raises(ValueError, match="none"):
        next(ahead(make))


def test_no_more_items_are_made_than_allowed():
    made = []
    items = ahead(endless(made), 2)
    for index in range(20):
        assert next(items) == index
        assert len(made) <= index + 1 + 2
    items.close()


def test_leaving_the_loop_ends_the_thread_and_the_iterator():
    made = []
    for index in ahead(endless(made), 4):
        if index == 10:
            break
    assert len(made) <= 11 + 4


def test_an_error_in_the_loop_ends_the_thread():
    def use():
        for index in ahead(endless([])):
            1 / (index - 3)

    with pytest.raises(ZeroDivisionError):
        use()


def test_an_item_that_takes_long_ends_where_it_looks_whether_it_is_wanted():
    begun = threading.Event()

    def make(check):
        yield 0
        begun.set()
        while True:
            check()

    for _ in ahead(make):
        begun.wait()
        break


def test_a_cancel_while_waiting_ends_all_stages():
    made, looked = [], []

    def never_gives(check):
        for _ in ahead(endless(made), check_cancelled=check):
            check()
        yield

    def stop():
        looked.append(1)
        if made and len(looked) > 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        next(ahead(never_gives, check_cancelled=stop))


def test_a_cancel_reaches_a_stage_that_itself_waits():
    waits, over = threading.Event(), threading.Event()

    def gives_nothing(check):
        waits.set()
        while not over.is_set():
            check()
        yield

    def stop():
        if waits.is_set():
            raise Cancelled

    with pytest.raises(Cancelled):
        next(ahead(lambda check: ahead(gives_nothing, check_cancelled=check), check_cancelled=stop))
    over.set()


def test_watched_work_gives_its_result_or_its_error():
    assert watched(lambda: 7, lambda: None) == 7

    def fails():
        raise ValueError("seven")

    with pytest.raises(ValueError, match="seven"):
        watched(fails, lambda: None)


def test_a_cancel_does_not_wait_for_the_work():
    looked, over = [], threading.Event()

    def check():
        looked.append(1)
        if len(looked) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        watched(over.wait, check)
    over.set()
