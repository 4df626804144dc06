"""What moves and how heavy it is, from the words of language models."""
