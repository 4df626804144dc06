"""Speed and memory, printed as ratios; nothing here is asserted."""
