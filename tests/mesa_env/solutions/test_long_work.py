"""No solver is slow without a word: long work is announced or refused, and rounding is not searched."""

import numpy as np
import pytest

import mesa_env
from mesa_env import numerics, train_then_deploy
from mesa_env.agent import Profile
from mesa_env.evaluation import audits
from mesa_env.evaluation.audits import _costs_of_silence
from mesa_env.evaluation.hidden_deployment import simulated_exploitability
from mesa_env.problems import BestResponse
from mesa_env.solutions import misconception
from mesa_env.solutions.hidden_deployment import solve_hidden
from mesa_env.solutions.learnable_discount import ForeseeingPlanner
from mesa_env.solutions.misconception import solve_misconception
from mesa_env.solutions.parameter_maps import equilibrium_map
from tests.conftest import ONE_OF_EACH_KIND


def audit(game):
    agent = Profile(game, np.full(game.episodes, 0.5))
    return mesa_env.audit(game, agent, mesa_env.rollout(game, agent, 0.5))


@pytest.mark.parametrize(
    ("name", "work"),
    [
        ("Misconception", solve_misconception),
        ("Misconception", audit),
        ("LearnableDiscount", ForeseeingPlanner),
        ("LearnableDiscount", audit),
        ("HiddenDeployment", solve_hidden),
        ("HiddenDeployment", audit),
        ("HiddenDeployment", lambda game: simulated_exploitability(game, Profile(game, np.zeros(5)))),
    ],
)
def test_work_is_announced_where_it_is_long_and_only_there(name, work, monkeypatch):
    game = ONE_OF_EACH_KIND[name]
    work(game)  # warnings are errors
    monkeypatch.setattr(numerics, "_MANY_STEPS", 10)
    with pytest.warns(UserWarning, match=r"^(solving this game|this audit) takes about \de\+?\d+ steps, "):
        work(game)


@pytest.mark.parametrize(
    ("work", "least"),
    [
        (lambda: solve_hidden(mesa_env.HiddenDeployment(np.ones(10_000))), 1e8),
        (lambda: mesa_env.LearnableDiscount(np.ones(15_000)), 1e8),
        (lambda: solve_misconception(mesa_env.Misconception(np.zeros(50_000))), 1e8),
        (lambda: ForeseeingPlanner(mesa_env.LearnableDiscount(train_then_deploy(5, 12_995))), 1e8),
    ],
)
def test_long_schedules_are_announced_before_they_take_ten_seconds(work, least, monkeypatch):
    """Also where little of them trains: every episode costs something."""

    def stop(what, steps, numbers=0):
        if steps > least:
            raise InterruptedError(what)

    monkeypatch.setattr(numerics, "announce_work", stop)
    assert least == numerics._MANY_STEPS
    with pytest.raises(InterruptedError):
        work()


@pytest.mark.parametrize("kind", [mesa_env.Misconception, mesa_env.LearnableDiscount, mesa_env.Decoupling])
def test_what_would_be_emitted_for_nothing_is_weighed_without_playing(kind):
    game = kind([0.3, 0.1, 0.0, 0.0], 0.9)
    agent = Profile(game, np.full(4, 0.5))
    played = mesa_env.rollout(game, agent, [0.8, -0.3])
    problem = BestResponse(game, agent)
    scales = [
        problem.step(state, np.zeros((2, len(game.action_bound)))).info["scale"] for state in played.states
    ]
    costs = [_costs_of_silence(game, state) for state in played.states]
    np.testing.assert_array_equal(costs, scales)


@pytest.mark.parametrize(
    "solve",
    [
        lambda: mesa_env.oracle(mesa_env.Misconception(np.zeros(200_000))),
        lambda: mesa_env.oracle(mesa_env.HiddenDeployment(np.ones(200_000))),
        lambda: mesa_env.oracle(mesa_env.LearnableDiscount(np.zeros(200_000), discount_learning_rate=0)),
        lambda: solve_hidden(mesa_env.HiddenDeployment(), log_odds=10**8),
    ],
)
def test_tables_beyond_memory_are_refused_before_they_are_made(solve):
    with pytest.raises(ValueError, match=r"must hold at most 1e\+09 numbers in memory; got"):
        solve()


def test_families_longer_than_any_game_are_refused():
    for name in ("train", "deploy"):
        with pytest.raises(ValueError, match=f"{name} must be at most 10000000 episodes; got 1e\\+12"):
            equilibrium_map(**{name: 10**12})


def test_rounding_alone_makes_no_minimum_that_is_searched():
    """Where goal and belief agree in the last episode, every coefficient emits the same."""
    game = mesa_env.Misconception([0.3, 0.3])
    solution = solve_misconception(game)
    now, side = misconception._episode(game, solution, 1), float(np.sqrt(0.5))
    minima, costs = misconception._local_minima(solution.proposals, side, side, now)
    inner = np.abs(minima) < game.coefficient_bound - 0.02
    assert np.isin(minima[inner], solution.proposals).all()
    assert (costs < 1e-30).all()
    apart, _ = misconception._local_minima(solution.proposals, 0.8, 0.6, now)
    assert len(apart) == 1


def test_infinite_costs_are_no_minima():
    game = mesa_env.Misconception(np.full(14, 1e38), regularization=1e8)
    solution = solve_misconception(mesa_env.Misconception(np.zeros(14)), angles=8)
    solution.squares[:] = 1e308
    now = misconception._episode(game, solution, 3)
    minima, _ = misconception._local_minima(solution.proposals, 0.8, 0.6, now)
    assert len(minima) == 0


@pytest.mark.parametrize("rate", [1e10, 1e37])
def test_unit_sums_that_are_rounding_alone_are_refused(rate):
    game = mesa_env.Misconception(train_then_deploy(6, 10, rate))
    with pytest.raises(ValueError, match=r"keep sums of squares above 0|must not grow beyond"):
        solve_misconception(game)


def test_a_root_that_is_far_from_1_is_found():
    """It takes more steps than `brentq` takes unasked; the little that is decoupled hardly moves it."""
    rates = [6e-28, 4e21, 6e-28, 0.0]
    game = mesa_env.Decoupling(rates, 0.99, coefficient_bound=2.6e13, decoupling=5.8e-21)
    coefficients, _ = mesa_env.solutions.decoupling.solve_decoupling(game)
    base = mesa_env.solve_equilibrium(mesa_env.Game(rates, 0.99, coefficient_bound=2.6e13))
    assert base[1] < 1e-14
    np.testing.assert_allclose(coefficients, base, rtol=1e-4)


def test_simulations_are_counted_by_the_turns_that_move_something(monkeypatch):
    """Actions in deployment are paid at once, whatever follows."""
    counted = []
    monkeypatch.setattr(audits, "announce_work", lambda what, *numbers: counted.append(numbers))
    audit(mesa_env.Misconception([0.3, 0.0, 0.1, 0.0, 0.0]))
    followed, tried, rounds = 5 + 3 + 1 + 1 + 1, 61, 4
    assert counted == [(rounds * tried * followed, tried * 5)]
