"""Loading with the transformers library: whole checkpoints only, errors in a sentence, and no advice in the log."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pavas_core.errors import WeightsError


@contextlib.contextmanager
def loading(what: str, cure: str) -> Iterator[None]:
    """Quietly load in the context; raises WeightsError with ``cure`` where the library or a file fails."""
    from safetensors import SafetensorError

    from pavas_core.runtime import is_out_of_memory

    try:
        with quiet():
            yield
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ImportError,
        RuntimeError,
        SafetensorError,
    ) as error:
        if is_out_of_memory(error):
            raise
        raise WeightsError(f"{what} cannot be loaded: {' '.join(str(error).split())[:200]}; {cure}.") from error


def check_whole(info: Mapping[str, Any], name: str, example: str, *, known: Collection[str] = ()) -> None:
    """Refuse what ``from_pretrained(..., output_loading_info=True)`` says is not a whole checkpoint.

    The library would draw what is missing at random. ``known`` names weights that the caller fills in. Raises
    WeightsError.
    """
    missing = sorted(set(info.get("missing_keys", ())) - set(known))
    misshapen = sorted(one[0] if isinstance(one, (tuple, list)) else one for one in info.get("mismatched_keys", ()))
    wrong = missing or misshapen
    if wrong:
        what = "lacks" if missing else "has another shape of"
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise WeightsError(f"{name} {what} the weight {wrong[0]}{more}: get {example} again, all of its files.")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The library's advice and load reports stay out of the log."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
