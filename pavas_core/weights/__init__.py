"""Files of weights: what they hold, where they lie, where they come from."""
