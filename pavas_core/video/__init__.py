"""Video and audio files in and out (PyAV)."""
