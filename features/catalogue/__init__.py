"""The catalogue's pages: every feature, declared once, a file for each touchpoint."""
