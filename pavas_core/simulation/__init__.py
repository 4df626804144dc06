"""Simulated scenes with known truth: bodies, strikes, cameras, pictures and sound."""
