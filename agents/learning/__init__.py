"""Agents that learn, with Stable-Baselines3 and PyTorch."""
