"""What to say of a game that was played: trajectories, audits, metrics, statistics."""
