"""Thin ComfyUI nodes: each unpacks its sockets, calls the core and packs the result."""
