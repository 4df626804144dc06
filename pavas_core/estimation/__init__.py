"""From pixels to physics without learned weights: detection, tracking, velocity, impacts, mass tables."""
