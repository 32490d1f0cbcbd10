"""Oracles, one module per game: functions from a game to its equilibrium."""
