"""Training pavas-nano on simulated scenes: examples, their faults, batches, the loop."""
