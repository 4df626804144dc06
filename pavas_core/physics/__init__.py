"""Types, units and arithmetic of the physics on screen."""
