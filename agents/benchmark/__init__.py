"""Sweeps: many runs of many algorithms in many games, and their reports."""
