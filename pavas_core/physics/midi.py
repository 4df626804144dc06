"""Impacts as a standard MIDI file: notes that any sequencer lays under the picture."""

from __future__ import annotations

import math
import struct
from pathlib import Path

from pavas_core.physics.types import Scene
from pavas_core.video.atomic import replacing

TICKS_PER_QUARTER = 960
TEMPO_US = 500_000
"""Microseconds a quarter note (120 a minute), so that a second is 1920 ticks."""
FIRST_NOTE, NOTES = 36, 60
NOTE_S = 0.05
LOUDEST_J, RANGE_DB = 10.0, 60.0
"""An impact of LOUDEST_J has velocity 127, one RANGE_DB below has 1."""


def write_midi(scene: Scene, path: str | Path) -> Path:
    """One note an impact: a key for every object, velocity by energy; the impact's id is its marker.

    A file of format 0 (Standard MIDI Files 1.0) whose ticks are 1/1920 s.
    """
    path = Path(path)
    ticks_per_s = TICKS_PER_QUARTER * 1_000_000 / TEMPO_US
    keys = {body.object.id: FIRST_NOTE + index % NOTES for index, body in enumerate(scene.bodies)}
    events: list[tuple[int, int, bytes]] = [(0, 0, b"\xff\x51\x03" + TEMPO_US.to_bytes(3, "big"))]
    for object_id, key in keys.items():
        events.append((0, 1, _text(1, f"{object_id} = key {key}")))
    for impact in scene.impacts:
        key = keys.get(impact.object_id, FIRST_NOTE)
        start = round(impact.time_s * ticks_per_s)
        events.append((start, 2, _text(6, impact.id)))
        events.append((start, 3, bytes([0x90, key, _velocity(impact.energy_loss_j)])))
        events.append((start + round(NOTE_S * ticks_per_s), 1, bytes([0x80, key, 0])))
    end = max([round(scene.duration_s * ticks_per_s), *(tick for tick, _, _ in events)])
    events.append((end, 9, b"\xff\x2f\x00"))
    track, now = bytearray(), 0
    for tick, _, data in sorted(events):
        track += _variable(tick - now) + data
        now = tick
    header = struct.pack(">4sLHHH", b"MThd", 6, 0, 1, TICKS_PER_QUARTER)
    with replacing(path) as temporary:
        temporary.write_bytes(header + struct.pack(">4sL", b"MTrk", len(track)) + bytes(track))
    return path


def _velocity(energy_j: float) -> int:
    if energy_j <= 0:
        return 1
    below_db = 10 * math.log10(LOUDEST_J / energy_j)
    return min(127, max(1, round(127 - 126 * below_db / RANGE_DB)))


def _text(kind: int, text: str) -> bytes:
    data = text.encode()
    return bytes([0xFF, kind]) + _variable(len(data)) + data


def _variable(value: int) -> bytes:
    """A variable-length quantity: seven bits a byte, all but the last with the top bit set."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))
