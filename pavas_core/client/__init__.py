"""Queueing many clips on ComfyUI servers through their API."""
