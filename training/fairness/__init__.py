"""Whether segments are treated alike, and what could be done where they are not."""
