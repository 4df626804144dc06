"""WAV and FLAC files with a sidecar that tells how the sound was made."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from pavas_core.audio import Audio
from pavas_core.errors import MediaError
from pavas_core.video.atomic import replacing
from pavas_core.video.limiter import limit
from pavas_core.video.save import SaveReport
from pavas_core.video.soundtrack import check_audio, resample

log = logging.getLogger("pavas")

WAV_SUBTYPES = {"pcm24": "PCM_24", "float32": "FLOAT"}
# Integer samples end just below 1.0; no codec follows that could overshoot.
INTEGER_CEILING_DB = 0.0
FLAC_MAX_RATE = 655_350


def write_wav(
    audio: Audio,
    path: str | Path,
    *,
    subtype: str = "pcm24",
    sample_rate: int | None = None,
    settings: dict[str, Any] | None = None,
) -> SaveReport:
    """Write a WAV of 24-bit integers (``"pcm24"``) or 32-bit floats (``"float32"``).

    ``sample_rate`` resamples, for instance to 48000; None keeps the rate. Integers are limited where they would clip,
    floats are written as they are. ``settings`` goes as JSON into ``<path>.json``. Raises MediaError where the file
    cannot be written or the sound is not finite.
    """
    if subtype not in WAV_SUBTYPES:
        raise MediaError(f"A WAV cannot be written as {subtype!r}, choose {' or '.join(WAV_SUBTYPES)}.")
    return _write(audio, Path(path), "WAV", WAV_SUBTYPES[subtype], sample_rate, settings)


def write_flac(
    audio: Audio, path: str | Path, *, sample_rate: int | None = None, settings: dict[str, Any] | None = None
) -> SaveReport:
    """Write a 24-bit FLAC; ``sample_rate``, ``settings`` and errors as in :func:`write_wav`."""
    if (sample_rate or audio.sample_rate) > FLAC_MAX_RATE:
        raise MediaError(f"FLAC cannot hold {sample_rate or audio.sample_rate} Hz, ask for 48000.")
    return _write(audio, Path(path), "FLAC", "PCM_24", sample_rate, settings)


def sidecar_path(path: Path) -> Path:
    """Where the settings of ``path`` are written."""
    return path.with_name(path.name + ".json")


def _write(
    audio: Audio, path: Path, kind: str, subtype: str, sample_rate: int | None, settings: dict[str, Any] | None
) -> SaveReport:
    import soundfile

    suffix = f".{kind.lower()}"
    if path.suffix.lower() != suffix:
        raise MediaError(f"{path.name} would hold {kind} sound, end its name in {suffix}.")
    check_audio(audio)
    if sample_rate is not None:
        audio = resample(audio, sample_rate)
    limited_db = 0.0
    if subtype != "FLOAT":
        audio, limited_db = limit(audio, INTEGER_CEILING_DB)
    if limited_db:
        log.warning("The sound was too loud and its peaks were limited by up to %.1f dB.", limited_db)
    text = None if settings is None else _settings_text(settings)
    with replacing(path) as temporary:
        try:
            soundfile.write(temporary, audio.waveform.T, audio.sample_rate, subtype=subtype, format=kind)
            if text is not None:
                with replacing(sidecar_path(path)) as sidecar:
                    sidecar.write_text(text, encoding="utf-8")
        except (soundfile.SoundFileError, OSError) as error:
            raise MediaError(f"{path.name} could not be written ({error}), check the free space.") from error
    return SaveReport(path, limited_db)


def _settings_text(settings: dict[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Path):
            return str(value)
        raise MediaError(f"The settings hold a {type(value).__name__}, give only numbers, text, lists and dicts.")

    return json.dumps(settings, indent=2, ensure_ascii=False, default=plain) + "\n"
