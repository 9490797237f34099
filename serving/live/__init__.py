"""Events as they happen, and the scores that follow from them at once."""
