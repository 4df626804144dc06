"""Speed in the picture plane in metres per second, and the moments at which it jumps."""
