"""Results on disk: found again, capped in size, clearable, and never trusted when damaged."""

from __future__ import annotations

import os

from pavas_core.estimation.result_cache import ResultCache


def incompressible(seed: int) -> str:
    import random

    return random.Random(seed).randbytes(2000).hex()


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    plenty = ResultCache(tmp_path)
    for age, key in ((30, "old"), (20, "older-but-used"), (10, "young")):
        plenty.put_text(key, incompressible(age))
        path = tmp_path / f"{key}.result"
        os.utime(path, (path.stat().st_mtime - 1000 * age,) * 2)
    assert plenty.text("older-but-used")
    one = plenty.size_bytes() / 3
    small = ResultCache(tmp_path, max_bytes=round(2.5 * one))
    small.put_text("new", incompressible(1))
    assert {key for key in ("old", "older-but-used", "young", "new") if small.text(key)} == {"older-but-used", "new"}
    assert small.size_bytes() <= small.max_bytes


def test_a_result_beyond_the_limit_is_not_kept_and_takes_nothing_away(tmp_path):
    cache = ResultCache(tmp_path, max_bytes=4000)
    cache.put_text("small", "kept")
    cache.put_text("huge", incompressible(2) * 4)
    assert cache.text("huge") is None
    assert cache.text("small") == "kept"


def test_all_of_it_can_be_removed(tmp_path):
    cache = ResultCache(tmp_path)
    cache.put_text("a", "1")
    cache.put_text("b", "2")
    assert cache.clear() == 2
    assert cache.text("a") is None
    assert cache.size_bytes() == 0


def test_a_damaged_result_is_as_good_as_none(tmp_path):
    cache = ResultCache(tmp_path)
    cache.put_text("key", "sound")
    path = tmp_path / "key.result"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    assert cache.text("key") is None
