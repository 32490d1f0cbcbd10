"""Self-play: its returns against plain sums, its bookkeeping, and a training that must reach a score."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.callbacks import BaseCallback

import agents
import mesa_env
from agents.learning.callbacks import LearningCurve, typical_goals
from agents.learning.self_play import WORST_RETURN, callbacks, learn, new_learner, settled_returns
from agents.learning.settings import ClockFeatures, LinearSchedule, PPOSettings
from mesa_env import Game, train_then_deploy
from mesa_env.agent import Profile

SMALL = Game(learning_rates=train_then_deploy(2, 2), initial_goal=(-1, 1))
TINY = PPOSettings(
    turns=16 * 6, games=4, epochs=2, minibatches=2, hidden=8
)  # 6 rollouts of 4 games × 4 episodes


def parameters(model):
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


# -- Settled returns --------------------------------------------------------------------------------------


@given(st.integers(1, 6), st.integers(1, 4), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_settled_returns_are_plain_double_sums(episodes, games, discount, seed):
    generator = np.random.default_rng(seed)
    game = Game(learning_rates=np.ones(episodes), discount=discount)
    goals, outputs = generator.normal(0, 1, (2, episodes, games))
    returns = settled_returns(game, goals, outputs)
    assert returns.shape == (episodes, games)
    assert returns.dtype == np.float32
    for n in range(episodes):
        for b in range(games):
            cost = sum(discount ** (k - n) * (outputs[k, b] - goals[n, b]) ** 2 for k in range(n, episodes))
            abstaining = sum(discount ** (k - n) * goals[n, b] ** 2 for k in range(n, episodes))
            assert returns[n, b] == pytest.approx(max(-cost / abstaining, WORST_RETURN), rel=1e-5, abs=1e-6)


def test_landmarks_of_settled_returns():
    game = Game(learning_rates=np.ones(3), discount=0.9)
    goals = np.array([[0.8, 0.8, 0.0, 0.8, -1e-6], [0.8] * 5, [0.8] * 5])
    outputs = np.array(
        [[0.8, 0.0, 3.0, 9.0, -1e-6], [0.8, 0.0, 3.0, 9.0, -1e-6], [0.8, 0.0, 3.0, 9.0, -1e-6]]
    )
    np.testing.assert_allclose(
        settled_returns(game, goals, outputs)[0], [0, -1, 0, WORST_RETURN, 0], atol=1e-6
    )


def test_the_equilibrium_s_settled_returns_are_nobody_s_to_improve():
    game = Game()
    equilibrium = mesa_env.solve_equilibrium(game)

    def returns(profile):
        played = mesa_env.rollout(game, Profile(game, profile), 0.8)
        return settled_returns(game, played.goals[:-1, None], played.outputs[:, None])[:, 0]

    best = returns(equilibrium)
    for episode in (0, 10, 19, 20, 99):
        for shift in (-0.05, 0.05):
            profile = equilibrium.copy()
            profile[episode] += shift
            assert returns(profile)[episode] < best[episode]


class Recorder(BaseCallback):
    """Keeps what every rollout was trained with."""

    def __init__(self):
        super().__init__()
        self.noises, self.buffers = [], []

    def _on_rollout_start(self):
        self.noises.append(self.model.policy.log_std.exp().item())

    def _on_rollout_end(self):
        buffer = self.model.rollout_buffer
        self.buffers.append(
            {
                name: getattr(buffer, name).copy()
                for name in ("observations", "actions", "returns", "advantages")
            }
        )

    def _on_step(self):
        return True


def recorded(game, settings, seed=0):
    recorder = Recorder()
    model = new_learner(game, settings, seed)
    model.learn(settings.whole_turns(game), callback=[*callbacks(game, settings), recorder])
    return model, recorder


def test_every_turn_is_trained_with_what_its_whole_game_was_worth():
    game = Game(learning_rates=[1.0, 0.3, 0.0], discount=0.8, initial_goal=(-1, 1))
    _, recorder = recorded(game, PPOSettings(turns=36, games=4, minibatches=2, hidden=8))
    assert len(recorder.buffers) == 3
    for buffer in recorder.buffers:
        goals = buffer["observations"][:, :, 0].astype(np.float64)
        outputs = buffer["actions"][:, :, 0].clip(-2, 2) * goals
        returns = settled_returns(game, goals, outputs)
        np.testing.assert_allclose(buffer["returns"], returns, rtol=1e-4, atol=1e-5)
        # Advantages compare games in the same episode: zero mean and unit spread over them.
        np.testing.assert_allclose(buffer["advantages"].mean(axis=1), 0, atol=1e-5)
        np.testing.assert_allclose(buffer["advantages"].std(axis=1), 1, rtol=1e-4)
        np.testing.assert_array_equal(
            buffer["advantages"].argsort(axis=1)[:, -1], buffer["returns"].argmax(axis=1)
        )


# -- Noise and step size ----------------------------------------------------------------------------------


def test_noise_falls_geometrically_from_the_first():
    _, recorder = recorded(SMALL, TINY)
    noises = np.array(recorder.noises)
    assert len(noises) == 6
    assert noises[0] == pytest.approx(TINY.first_noise, rel=1e-6)
    ratios = noises[1:] / noises[:-1]
    assert (ratios < 1).all()
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)


def test_the_last_rollout_has_the_last_noise():
    _, recorder = recorded(SMALL, TINY)
    assert recorder.noises[-1] == pytest.approx(TINY.last_noise, rel=1e-5)


def test_step_size_falls_linearly_to_zero():
    schedule = LinearSchedule(0.02)
    assert [schedule(share) for share in (1, 0.5, 0.25, 0)] == [0.02, 0.01, 0.005, 0]


def test_features_are_finite_and_moderate_in_every_episode_of_every_game():
    for game in (Game(), SMALL, Game(learning_rates=[0.0]), Game(learning_rates=np.ones(10_000))):
        state = game.start(np.zeros((game.episodes, game.n_uniforms)), np.full(game.episodes, 0.8))
        observations = torch.as_tensor(game.observe(state._replace(episode=np.arange(game.episodes))))
        low, high = game.observation_bounds
        space = agents.learning.vec_env.gym.spaces.Box(low.astype(np.float32), high.astype(np.float32))
        features = ClockFeatures(space)(observations)
        assert features.shape == (game.episodes, 7)
        assert torch.isfinite(features).all()
        assert features.abs().max() < 4
        assert len(torch.unique(features, dim=0)) == game.episodes  # no two episodes look alike


# -- Settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        *[(name, 0, f"{name} must be a whole number ≥ 1; got 0") for name in ("turns", "epochs", "hidden")],
        ("games", -3, "games must be a whole number ≥ 1; got -3"),
        ("games", 1, "games must be at least 2.*got 1"),
        ("turns", 1000.5, r"turns must be a whole number ≥ 1; got 1000\.5"),
        ("minibatches", 2.5, r"minibatches must be a whole number ≥ 1; got 2\.5"),
        ("learning_rate", 0.0, r"learning_rate must be a finite number above 0; got 0\.0"),
        ("learning_rate", float("nan"), "learning_rate must be a finite number above 0; got nan"),
        ("clip_range", float("inf"), "clip_range must be a finite number above 0; got inf"),
        ("first_noise", -0.1, r"first_noise must be a finite number above 0; got -0\.1"),
        ("last_noise", 0.0, r"last_noise must be a finite number above 0; got 0\.0"),
    ],
)
def test_settings_refuse(setting, value, message):
    with pytest.raises(ValueError, match=message):
        PPOSettings(**{setting: value})


def test_whole_turns_are_whole_rollouts_and_at_least_one():
    settings = PPOSettings(turns=100, games=4)
    assert settings.whole_turns(SMALL) == 96
    assert PPOSettings(turns=96, games=4).whole_turns(SMALL) == 96
    assert PPOSettings(turns=16, games=4).whole_turns(SMALL) == 16
    with pytest.raises(ValueError, match="4 games × 4 episodes = 16; got 15"):
        PPOSettings(turns=15, games=4).whole_turns(SMALL)


# -- Training ---------------------------------------------------------------------------------------------


def test_the_same_seed_trains_the_same_model_and_another_seed_another():
    first, again, other = (parameters(learn(SMALL, TINY, seed)) for seed in (3, 3, 4))
    assert first.keys() == again.keys()
    for name, value in first.items():
        assert torch.equal(value, again[name]), name
    assert any(not torch.equal(value, other[name]) for name, value in first.items())


def test_training_plays_the_turns_it_was_given():
    model = learn(SMALL, PPOSettings(turns=100, games=4, epochs=1, minibatches=2, hidden=8))
    assert model.num_timesteps == 96


def test_the_learning_curve_holds_what_compare_measures():
    model = new_learner(SMALL, TINY, seed=0)
    model.learn(96, callback=[*callbacks(SMALL, TINY), LearningCurve(SMALL, every=2)])
    assert [point["turns"] for point in model.learning_curve] == [32, 64, 96]
    for point in model.learning_curve:
        assert set(point) == {"turns", *mesa_env.METRICS}
        assert point["nash_conv"] > 0

    untrained = new_learner(SMALL, TINY, seed=0)
    expected = mesa_env.compare(SMALL, {"learner": untrained}, typical_goals(SMALL))
    # The first rollout's end comes before its training, so the curve may begin with the untrained learner.
    untrained.learn(16, callback=[*callbacks(SMALL, TINY), LearningCurve(SMALL, every=1)])
    for metric in mesa_env.METRICS:
        assert untrained.learning_curve[0][metric] == pytest.approx(expected[metric].mean(), nan_ok=True)


@pytest.mark.parametrize(
    ("initial_goal", "goals"), [(0.8, [0.8]), ((-1, 1), [-0.75, -0.25, 0.25, 0.75]), ((0.5, 0.5), [0.5] * 4)]
)
def test_typical_goals_are_spread_over_where_the_game_draws_them(initial_goal, goals):
    np.testing.assert_allclose(typical_goals(Game(initial_goal=initial_goal)), goals)


@pytest.mark.slow
def test_self_play_finds_the_equilibrium_where_no_fixed_rule_does():
    game = Game(learning_rates=train_then_deploy(3, 6), initial_goal=(-1, 1))
    settings = PPOSettings(turns=48_000, games=32, learning_rate=2e-3, hidden=32)
    contestants = {name: agents.make(name, game) for name in (*agents.NAMES, "best_of_64")}
    del contestants["equilibrium"], contestants["grid"]
    goals = [-0.9, -0.5, -0.2, 0.2, 0.5, 0.9]
    games = mesa_env.compare(game, contestants | {"learned": learn(game, settings, seed=0)}, goals)
    nash_conv = games.groupby("agent")["nash_conv"].mean()
    # Three seeds reached 0.0017, 0.0002 and 0.0001; full deception is at 1.03, the best of 64 proposals at
    # 0.035.
    assert nash_conv["learned"] < 0.01
    assert nash_conv["learned"] < nash_conv.drop("learned").min()
    learned = games[games["agent"] == "learned"]
    equilibrium = mesa_env.solve_equilibrium(game)
    np.testing.assert_allclose(learned["c_first"], equilibrium[0], atol=0.05)
    np.testing.assert_allclose(learned["c_last_training"], equilibrium[2], atol=0.05)
    np.testing.assert_allclose(learned["c_deployment"], 1, atol=0.02)
