"""Files of ComfyUI's temp folder that the editor's dialog reads."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .convert import clip_of

SUBFOLDER = "pavas_editor"
JPEG_QUALITY = 82


def write_editor_files(scene, video, runtime) -> dict[str, Any]:
    """Write the scene's view and the clip's sheets of pictures; return how the browser finds the view.

    Names are hashes of the content, so pictures of the same clip and masks are made once a session.
    """
    import folder_paths

    from pavas_core.physics.editor_view import editor_view

    folder = Path(folder_paths.get_temp_directory()) / SUBFOLDER
    folder.mkdir(parents=True, exist_ok=True)
    view = editor_view(scene) | {"film": _film(folder, scene, video, runtime)}
    text = json.dumps(view, ensure_ascii=False, allow_nan=False)
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    _write(folder / name, text.encode())
    return {"view": name, "subfolder": SUBFOLDER, "type": "temp"}


def _film(folder: Path, scene, video, runtime) -> dict[str, Any]:
    from PIL import Image

    from pavas_core.physics.editor_view import film_sheets
    from pavas_core.video.atomic import replacing

    clip = None if video is None else clip_of(video)
    key = _key(scene, clip)
    index = folder / f"{key}.json"
    if index.is_file():
        return json.loads(index.read_text(encoding="utf-8"))
    layout, sheets = film_sheets(clip, scene, runtime=runtime)
    names = []
    for number, sheet in enumerate(sheets):
        names.append(f"{key}-{number}.jpg")
        with replacing(folder / names[-1]) as temporary:
            Image.fromarray(sheet).save(temporary, format="JPEG", quality=JPEG_QUALITY)
    film = layout | {"sheets": names}
    _write(index, json.dumps(film).encode())
    return film


def _key(scene, clip) -> str:
    """Of the pictures and the masks drawn into them."""
    import numpy as np

    digest = hashlib.sha256(f"{scene.width}x{scene.height} {scene.duration_s}".encode())
    if clip is not None:
        digest.update(f"{clip.start_s} {clip.duration_s} {clip.width}x{clip.height}".encode())
        if isinstance(clip.source, bytes):
            digest.update(clip.source)
        elif clip.source is not None:
            stat = Path(clip.source).stat()
            digest.update(f"{clip.source} {stat.st_size} {stat.st_mtime_ns}".encode())
        else:
            from pavas_core.video.clip import iter_frames

            for frame in iter_frames(clip):
                digest.update(np.ascontiguousarray(frame.image[::4, ::4]).tobytes())
    if scene.tracks is not None:
        digest.update(np.ascontiguousarray(scene.tracks.times_s).tobytes())
        for track in scene.tracks.tracks:
            digest.update(track.object_id.encode())
            for runs in track.masks.runs if track.masks is not None else ():
                digest.update(f"/{len(runs)}".encode())
                digest.update(np.ascontiguousarray(runs).tobytes())
    return digest.hexdigest()[:24]


def _write(path: Path, data: bytes) -> None:
    from pavas_core.video.atomic import replacing

    with replacing(path) as temporary:
        temporary.write_bytes(data)
