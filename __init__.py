"""ComfyUI-PAVAS: sound that follows the mass and speed of what moves on screen.

Nothing is imported here but what ComfyUI asks for, when it asks, so that starting ComfyUI stays
quick and tests can import the repository root without ComfyUI.
"""

WEB_DIRECTORY = "./web"


def _register_core() -> None:
    """Make this folder's ``pavas_core`` importable by its own name, whatever the folder is called.

    The folder itself stays off ``sys.path``: it also holds ``nodes``, ComfyUI's own module name.
    Raises ImportError where another copy of the pack has been loaded already.
    """
    import importlib.util
    import sys
    from pathlib import Path

    core = Path(__file__).resolve().parent / "pavas_core"
    loaded = sys.modules.get("pavas_core")
    if loaded is not None:
        other = Path(loaded.__file__).resolve().parent
        if other != core:
            raise ImportError(f"Two copies of ComfyUI-PAVAS are installed: remove {other.parent} or {core.parent}.")
        return
    spec = importlib.util.spec_from_file_location(
        "pavas_core", core / "__init__.py", submodule_search_locations=[str(core)]
    )
    sys.modules["pavas_core"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["pavas_core"])


async def comfy_entrypoint():
    """Return the pack's nodes; ComfyUI calls this once while it starts."""
    _register_core()
    from .nodes.extension import PavasExtension

    return PavasExtension()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
