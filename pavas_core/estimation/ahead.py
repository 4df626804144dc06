"""A second thread: the next items of an iterator made while the last one is used, or long work that is watched."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()
_LOOK_S = 0.05


class _Unwanted(Exception):
    """Ends the thread of :func:`ahead` once nobody asks for its items any more."""


def _nothing() -> None:
    """The caller is not to be asked whether it still waits."""


def ahead(
    make: Callable[[Callable[[], None]], Iterable[T]], most: int = 8, *, check_cancelled: Callable[[], None] = _nothing
) -> Iterator[T]:
    """Yield the items of ``make(check)`` in order, up to ``most`` of them made before they are asked for.

    ``make`` and its iterator run in a thread of their own; an exception of theirs is raised where the item would have
    come. Closing the generator, or an exception in the loop that uses it, ends the thread: after the item it is at, or
    where it calls ``check``, which then raises. While an item is waited for, ``check_cancelled`` is called twenty times
    a second in the caller's thread. Stages follow each other by giving ``check`` to the next as ``check_cancelled``.
    """
    made: queue.SimpleQueue = queue.SimpleQueue()
    room = threading.Semaphore(most)
    unwanted = threading.Event()

    def check() -> None:
        if unwanted.is_set():
            raise _Unwanted

    def work() -> None:
        try:
            items = iter(make(check))
            item: object = None
            while item is not _END:
                room.acquire()
                check()
                item = next(items, _END)
                made.put((item, None))
        except _Unwanted:
            return
        except BaseException as error:  # handed to the caller's thread, which raises it
            made.put((_END, error))

    thread = threading.Thread(target=work, name="pavas-ahead", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item, error = made.get(timeout=_LOOK_S)
            except queue.Empty:
                check_cancelled()
                continue
            if error is not None:
                raise error
            if item is _END:
                return
            room.release()
            yield item
    finally:
        unwanted.set()
        room.release()
        thread.join()


def watched(work: Callable[[], T], check_cancelled: Callable[[], None]) -> T:
    """What ``work()`` gives or raises, while ``check_cancelled`` is called twenty times a second.

    For work of a second or so that has no frames to look between. What ``check_cancelled`` raises ends the wait at
    once; ``work`` then runs to its end by itself, so it may write only what is thrown away with it.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again below
            errors.append(error)

    thread = threading.Thread(target=run, name="pavas-watched", daemon=True)
    thread.start()
    while thread.is_alive():
        check_cancelled()
        thread.join(_LOOK_S)
    if errors:
        raise errors.pop()
    return results.pop()
