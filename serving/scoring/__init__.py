"""Lists scored at once, and what is made of them."""
