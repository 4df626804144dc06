"""ComfyUI's VIDEO, AUDIO, IMAGE and MASK to and from the core's values."""

from __future__ import annotations

import io as bytes_io
from typing import TYPE_CHECKING

import numpy as np

from pavas_core.audio import Audio
from pavas_core.errors import MediaError

if TYPE_CHECKING:
    import torch

    from pavas_core.video.clip import Clip


def clip_of(video) -> Clip:
    """The core's view of a VIDEO: its own file or bytes where it has one, with its trim; else its pictures.

    Raises MediaError where the source cannot be read.
    """
    from pavas_core.video.clip import clip_from_frames, open_clip

    if not _has_own_stream(video):
        parts = video.get_components()
        if parts.images.shape[0] == 0:
            raise MediaError("The VIDEO holds no pictures: connect a video with at least two.")
        audio = audio_of(parts.audio) if parts.audio is not None else None
        return clip_from_frames(parts.images[..., :3].cpu().numpy(), float(parts.frame_rate), audio)
    source = video.get_stream_source()
    if isinstance(source, bytes_io.BytesIO):
        source = source.getvalue()
    start_s, duration_s = video.get_active_trim_window() if hasattr(video, "get_active_trim_window") else (0.0, 0.0)
    return open_clip(source, start_s=start_s, duration_s=duration_s or None)


def _has_own_stream(video) -> bool:
    """Whether ``video`` reads from a file: ComfyUI's default stream source encodes the pictures first."""
    from comfy_api.latest import Input, InputImpl

    if isinstance(video, InputImpl.VideoFromComponents):
        return False
    return type(video).get_stream_source is not Input.Video.get_stream_source


def trimmed_video(path: str, start_s: float, duration_s: float):
    """A VIDEO of ``path`` that begins at ``start_s`` and lasts ``duration_s`` (0 = to the end)."""
    from comfy_api.latest import InputImpl

    if hasattr(InputImpl.VideoFromFile, "get_active_trim_window"):
        return InputImpl.VideoFromFile(path, start_time=start_s, duration=duration_s)
    if start_s == 0 and duration_s == 0:
        return InputImpl.VideoFromFile(path)
    return _trimmed_file_class()(path, start_s, duration_s)


def _trimmed_file_class():
    """VideoFromFile with a trim, for ComfyUI versions whose own has none (before 0.4)."""
    from fractions import Fraction

    import torch
    from comfy_api.latest import InputImpl, Types

    class TrimmedVideoFromFile(InputImpl.VideoFromFile):
        """A part of a video file; the pack's nodes read the file, others get the part's pictures."""

        def __init__(self, path: str, start_s: float, duration_s: float):
            super().__init__(path)
            self._trim = (start_s, duration_s)

        def get_active_trim_window(self) -> tuple[float, float]:
            return self._trim

        def get_duration(self) -> float:
            return clip_of(self).duration_s

        def get_components(self):
            from pavas_core.video.clip import iter_frames, read_audio

            clip = clip_of(self)
            pictures = [torch.tensor(frame.image) / 255.0 for frame in iter_frames(clip)]
            sound = read_audio(clip)
            return Types.VideoComponents(
                images=torch.stack(pictures),
                audio=comfy_audio(sound) if sound is not None else None,
                frame_rate=Fraction(clip.frame_rate).limit_denominator(1001 * 60),
            )

        def save_to(self, path, *args, **options):
            return InputImpl.VideoFromComponents(self.get_components()).save_to(path, *args, **options)

    return TrimmedVideoFromFile


def audio_of(audio: dict) -> Audio:
    """The one sound of an AUDIO. Raises MediaError for an empty socket, no samples or a batch of several."""
    if audio is None:
        raise MediaError("The AUDIO socket carries no sound: the clip it came from is silent, so connect another.")
    waveform = audio["waveform"]
    if waveform.ndim != 3 or waveform.shape[0] != 1:
        raise MediaError(
            f"The AUDIO holds a batch of shape {tuple(waveform.shape)} where one sound [1, channels, samples] "
            "is needed: pick one of the batch first."
        )
    samples = waveform[0].detach().cpu().float().numpy()
    return Audio(np.ascontiguousarray(samples), int(audio["sample_rate"]))


def comfy_audio(audio: Audio) -> dict:
    """ComfyUI's AUDIO: float32 [1, channels, samples], contiguous, on the CPU."""
    import torch

    waveform = np.ascontiguousarray(audio.waveform, dtype=np.float32)
    return {"waveform": torch.from_numpy(waveform.copy())[None], "sample_rate": int(audio.sample_rate)}


def comfy_images(pictures: np.ndarray) -> torch.Tensor:
    """IMAGE float32 [N, H, W, 3] in 0..1 from uint8 pictures of that shape."""
    import torch

    return torch.tensor(pictures).float() / 255.0
