"""What moves in an ordinary video and where, without weights: background, regions, links, trails, bodies."""
