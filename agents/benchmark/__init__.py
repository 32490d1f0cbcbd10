"""Sweeps: many runs of many algorithms in many games, and what is to be said of them."""
