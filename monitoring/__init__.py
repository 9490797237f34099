"""Predictions and outcomes in, verdicts out."""
