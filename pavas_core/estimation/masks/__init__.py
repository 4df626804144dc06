"""A mask in every picture, from words, boxes, points or the masks of others."""
