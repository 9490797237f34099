"""Causal effects: the trial, its nuisances, its estimates and what is made of them."""
