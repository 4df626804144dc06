"""A batch on a real server, with client and server killed at random."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pavas_core.client.manifest import NAME, opened
from pavas_core.simulation.dataset import write_dataset
from tests.e2e.conftest import PACK

CLIPS, MASSES, KILLS_OF_CLIENT, KILLS_OF_SERVER = 7, 30, 6, 3
LIMIT_S = 3600


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    """Short clips of bodies that bounce."""
    folder = tmp_path_factory.mktemp("batch clips é")
    write_dataset(folder, range(CLIPS), size=(160, 90), frame_rate=15, duration_s=0.7, sound=False)
    return folder


def outcomes(folder: Path) -> list[dict]:
    """Outcome lines so far."""
    path = folder / NAME
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if b'"event": "outcome"' in line and line.endswith(b"}")]


def test_every_clip_has_one_outcome_whatever_is_killed(comfy, clips, tmp_path):
    out = tmp_path / "out"
    order = [sys.executable, "-m", "pavas_core", "queue", "--server", f"127.0.0.1:{comfy.port}", "-o", str(out)]
    masses = "mass=" + ",".join(f"{2 ** (0.2 * k):.3f}" for k in range(MASSES))
    videos = sorted(str(path) for path in clips.rglob("*.mp4"))
    first = [*order, *videos, "--sweep", masses]
    chance = random.Random(8)
    total = len(videos) * MASSES
    assert total >= 200
    marks = sorted(chance.sample(range(3, total - 3), KILLS_OF_CLIENT + KILLS_OF_SERVER))
    victims = ["client"] * KILLS_OF_CLIENT + ["server"] * KILLS_OF_SERVER
    chance.shuffle(victims)

    def client(arguments: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(arguments, cwd=PACK, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ)

    process, deadline = client(first), time.monotonic() + LIMIT_S
    for mark, victim in zip(marks, victims, strict=True):
        while len(outcomes(out)) < mark and process.poll() is None:
            assert time.monotonic() < deadline, comfy.log()[-3000:]
            time.sleep(0.02)
        assert process.poll() is None, process.communicate()[0].decode()
        if victim == "client":
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = client([*order, "--resume"])
        else:
            comfy.kill()
            comfy.start()
    said = process.communicate(timeout=LIMIT_S)[0].decode()
    assert process.returncode == 0, said
    assert f"{total} done, 0 failed, 0 left." in said

    ends = outcomes(out)
    assert sorted(end["id"] for end in ends) == sorted({end["id"] for end in ends})
    assert len(ends) == total
    files = [name for end in ends for name in end["files"]]
    assert len(files) == len(set(files)) == total
    assert all((out / name).stat().st_size > 1000 for name in files)
    with opened(out) as manifest:
        assert not manifest.open_records()
