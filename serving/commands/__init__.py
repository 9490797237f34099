"""The groups of commands; perennial.py joins them."""
