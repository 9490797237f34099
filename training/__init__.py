"""Feature rows in, a registered model and its card out."""
