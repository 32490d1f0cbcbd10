"""The rules of the games: pure functions on arrays, one module a game."""

from mesa_env.rules.game import Game, Outcome, State, train_then_deploy

__all__ = ["Game", "Outcome", "State", "train_then_deploy"]
