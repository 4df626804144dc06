"""From pixels to physics: what moves, where, how fast and how heavy; without weights and by published networks."""
