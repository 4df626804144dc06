"""PAVAS core: video in, physics and sound out.

The core never imports ComfyUI or the node layer. Sub-packages load nothing heavy at import;
OpenCV, PyAV and torch are imported by the functions that need them.
"""

__version__ = "0.1.0"
