"""Ideal customer profiles: outcomes of prospects, rules that find the good ones, a score for all others."""
