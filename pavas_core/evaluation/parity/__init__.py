"""Golden numbers of public references, and whether our networks give them."""
