"""A second thread: the next items of an iterator made while the last one is used, or long work that is watched."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_END = object()
_LOOK_S = 0.05


def ahead(items: Iterable[T], most: int = 8) -> Iterator[T]:
    """Yield ``items`` in order, up to ``most`` of them made before they are asked for.

    An exception of the iterator is raised where its item would have come. Closing the generator, or an exception in
    the loop that uses it, ends the thread after the item it is at.
    """
    waiting: queue.Queue = queue.Queue(maxsize=most)
    stopped = threading.Event()

    def put(item: object) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:  # handed to the caller's thread, which raises it
            put((_END, error))

    thread = threading.Thread(target=work, name="pavas-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        stopped.set()
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
