"""Evaluation of played games: trajectories, audits, gains, metrics, statistics."""
