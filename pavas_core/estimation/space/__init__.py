"""Velocity in space from a metric reconstruction."""
