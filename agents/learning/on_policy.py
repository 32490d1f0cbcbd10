"""PPO and A2C by self-play with settled returns (`agents.learning.self_play`)."""

from __future__ import annotations

from stable_baselines3 import A2C

from agents.learning import self_play
from agents.learning.settings import PPOSettings, SelfPlayModel, on_policy_arguments
from agents.learning.watching import CallbackAdapter, ProgressCallback
from mesa_env.rules.game import Game
from mesa_env.rules.infinite_horizon import with_fixed_length


def ppo(
    game: Game,
    turns: int,
    seed: int,
    watch: ProgressCallback,
    *,
    games: int = 16,
    epochs: int = 5,
    minibatches: int = 4,
    learning_rate: float = 1e-3,
    clip_range: float = 0.2,
    first_noise: float = 0.3,
    last_noise: float = 0.01,
    hidden: int = 64,
    group_size: int | None = None,
    memory: bool = False,
) -> SelfPlayModel:
    """Stable-Baselines3's PPO, or sb3-contrib's recurrent PPO; its parameters are those of `PPOSettings`."""
    settings = PPOSettings(
        turns=turns,
        games=games,
        epochs=epochs,
        minibatches=minibatches,
        learning_rate=learning_rate,
        clip_range=clip_range,
        first_noise=first_noise,
        last_noise=last_noise,
        hidden=hidden,
        group_size=group_size,
        memory=memory,
    )
    whole = settings.whole_turns(game)
    model = self_play.new_learner(game, settings, seed)
    return model.learn(whole, callback=[*self_play.callbacks(game, settings), CallbackAdapter(watch)])


def a2c(
    game: Game,
    turns: int,
    seed: int,
    watch: ProgressCallback,
    *,
    games: int = 16,
    learning_rate: float = 3e-3,
    first_noise: float = 0.3,
    last_noise: float = 0.01,
    hidden: int = 64,
    group_size: int | None = None,
) -> A2C:
    """Stable-Baselines3's A2C with Adam: one gradient step a rollout, so rollouts had better be short.

    Args:
        game: The game.
        turns: Turns to play in all; whole rollouts of `games` × N turns that fit in.
        seed: Seed of the networks, the noise and the games.
        watch: Is shown the learner between its updates.
        games: Games played in lockstep.
        learning_rate: Adam's first step size, annealed linearly to 0.
        first_noise: Standard deviation of the first rollout's coefficients around the policy's mean.
        last_noise: That of the last rollout; geometric in between.
        hidden: Units in each of the policy's two hidden layers.
        group_size: As in `PPOSettings`.
    """
    settings = PPOSettings(
        turns=turns,
        games=games,
        learning_rate=learning_rate,
        first_noise=first_noise,
        last_noise=last_noise,
        hidden=hidden,
        group_size=group_size,
    )
    whole = settings.whole_turns(game)
    model = A2C(
        "MlpPolicy",
        self_play.environment(game, settings),
        seed=seed,
        use_rms_prop=False,
        **on_policy_arguments(with_fixed_length(game), settings),
        **self_play.PROBLEM,
    )
    return model.learn(whole, callback=[*self_play.callbacks(game, settings), CallbackAdapter(watch)])
