"""The groups of commands; `perennial.cli` joins them."""
