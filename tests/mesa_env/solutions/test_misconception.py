"""The oracle of the game with a misconception is its equilibrium, as the rules themselves certify."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mesa_env
from mesa_env import Game, train_then_deploy
from mesa_env.evaluation.certificates import certify
from mesa_env.problems import BestResponse
from mesa_env.rules.misconception import Belief, Misconception
from mesa_env.solutions.misconception import (
    MisconceptionOracle,
    coefficients_at,
    jumps,
    refinement,
    solve_misconception,
)

GAME = Misconception()
SOLUTION = solve_misconception(GAME)
LONG = train_then_deploy(20, 80, 0.1)
FAST = train_then_deploy(20, 80, 1.0)


class Jump(NamedTuple):
    """Where an agent's best coefficient jumps: two choices tie between neighboring angles of the table."""

    episode: int
    angle: float  # φ halfway between the two
    before: float  # c_n at the smaller angle
    after: float  # c_n at the larger


def describe_jumps(solution):
    """Every jump, in order of episodes and angles."""
    places, found = len(solution.angles), []
    for episode, i in jumps(solution).tolist():
        before, after = solution.coefficients[episode, [i, (i + 1) % places]].tolist()
        found.append(Jump(episode, float(solution.angles[i] + solution.angles[1] / 2), before, after))
    return found


JUMPS = describe_jumps(SOLUTION)


def play_through(game, agent):
    """The states before every episode of one game, what was played, and the outcomes."""
    state, states, actions, outcomes = game.start(np.full((1, game.n_uniforms), 0.5)), [], [], []
    while not game.over(state)[0].all():
        action, _ = agent.predict(game.observe(state))
        states.append(state)
        actions.append(action)
        state, outcome = game.play(state, action)
        outcomes.append(outcome)
    return states, np.array(actions)[:, 0, 0], outcomes


def gains(game, agent, alternatives=41):
    """What each agent on the path from the start to deployment could gain, relative to the cost of silence.

    Successors answer every deviation as the agent would, at states that the rules lead to.
    """
    states, played, _ = play_through(game, agent)
    bound, decisions = game.coefficient_bound, int(game.training.sum()) + 1
    nearby = 10.0 ** -np.arange(1, 6)
    offers = np.concatenate([np.linspace(-bound, bound, alternatives), np.zeros(11)])
    offers = np.tile(offers, (decisions, 1))
    offers[:, alternatives:] = played[:decisions, None] + np.concatenate([[0], nearby, -nearby])
    offers = offers.clip(-bound, bound)
    rows = np.repeat(np.arange(decisions), offers.shape[1])
    parts = ([s.episode[0], s.goal[0], s.extra.belief[0]] for s in states[:decisions])
    episode, goal, belief = np.array(list(parts)).T[:, rows]
    seated = states[0]._replace(episode=episode.astype(np.int64), goal=goal, extra=Belief(belief))
    step = BestResponse(game, agent).step(seated, offers.reshape(-1, 1))
    costs = (-step.reward / step.info["scale"]).reshape(offers.shape)
    return costs[:, alternatives] - costs.min(axis=1)


@pytest.mark.parametrize(
    ("game", "tolerance"),
    [
        (GAME, 1e-7),
        (Misconception(belief_learning_rate=0.1, initial_belief=-0.5), 1e-7),
        (Misconception(belief_learning_rate=10.0, initial_belief=1.0), 1e-5),
        (Misconception(discount=0.9, regularization=0.2), 1e-6),
        (Misconception([0.3, 0.0, 0.5, 0.1, 0.0, 0.0], initial_belief=0.6), 1e-6),
        (Misconception(train_then_deploy(5, 20), initial_belief=-0.2), 1e-5),
        (Misconception(LONG), 1e-7),
        (Misconception(FAST), 1e-4),
    ],
    ids=["default", "slow", "fast", "discounted", "gaps", "rate 1", "long", "long at rate 1"],
)
def test_no_agent_on_the_path_gains_by_leaving_it(game, tolerance):
    assert gains(game, MisconceptionOracle(game)).max() < tolerance


def test_the_certificate_notices_a_deviation_from_equilibrium():
    oracle = MisconceptionOracle(GAME)
    oracle.solution = solve_misconception(Misconception(discount=0.5))
    assert gains(GAME, oracle).max() > 1e-2


def test_numbers_of_the_default_game():
    _, played, outcomes = play_through(GAME, MisconceptionOracle(GAME))
    assert played[0] == pytest.approx(0.087, abs=1e-3)
    assert outcomes[5].goal[0] == pytest.approx(0.673, abs=1e-3)
    assert outcomes[5].details["belief"][0] == pytest.approx(0.047, abs=1e-3)
    np.testing.assert_array_equal(played[5:], 1)


@pytest.mark.parametrize(
    "parameters",
    [
        {"learning_rates": train_then_deploy(5, 20, 0.1)},
        {"learning_rates": train_then_deploy(8, 12)},
        {"learning_rates": [1.0, 0.0, 0.5, 0.2, 0.0], "discount": 0.8, "regularization": 0.1},
        {"learning_rates": [0.3, 0.3, 0.0], "coefficient_bound": 0.4},
    ],
    ids=["default", "rate 1", "gaps", "bound"],
)
def test_without_a_belief_it_is_the_equilibrium_of_the_base_game(parameters):
    game = Misconception(**parameters, belief_learning_rate=0, initial_belief=0)
    expected = mesa_env.solve_equilibrium(Game(**parameters))
    np.testing.assert_allclose(solve_misconception(game).coefficients[:, 0], expected, atol=1e-7)
    _, played, outcomes = play_through(game, MisconceptionOracle(game))
    np.testing.assert_allclose(played, expected, atol=1e-7)
    assert not any(outcome.details["next_belief"].any() for outcome in outcomes)


def test_agents_that_discount_everything_emit_their_goal():
    solution = solve_misconception(Misconception(discount=0.0))
    away = np.abs(solution.angles - np.pi / 4) > 1e-9  # where goal and belief agree, any coefficient does
    np.testing.assert_allclose(solution.coefficients[:, away], 1, atol=1e-5)
    np.testing.assert_array_equal(solution.coefficients[:, ~away], 1)
    nearly = solve_misconception(Misconception(discount=1e-6))
    np.testing.assert_allclose(nearly.coefficients[:, np.abs(nearly.angles - np.pi / 4) > 0.1], 1, atol=1e-3)


@pytest.mark.parametrize("bound", [2.0, 0.6])
def test_in_deployment_every_agent_emits_its_goal_as_nearly_as_it_can(bound):
    game = Misconception([0.1, 0.0, 0.1, 0.0, 0.0], coefficient_bound=bound)
    solution = solve_misconception(game)
    np.testing.assert_array_equal(solution.coefficients[~game.training], min(1, bound))
    assert np.abs(solution.coefficients).max() <= bound


@given(
    st.integers(0, 4),
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.sampled_from([1e-6, 0.3, 5.0]),
    st.sampled_from([-1, 1]),
)
def test_only_the_angle_matters(episode, goal, belief, scale, sign):
    angle = np.arctan2(belief, goal) % np.pi
    if np.hypot(goal, belief) < 1e-6 or any(
        jump.episode == episode and abs(jump.angle - angle) < 0.01 for jump in JUMPS
    ):
        return
    at, scaled = (
        coefficients_at(GAME, SOLUTION, episode, s * np.array([goal]), s * np.array([belief]))
        for s in (1, sign * scale)
    )
    np.testing.assert_allclose(scaled, at, atol=1e-5)


def test_the_coefficients_of_the_table_are_found_again_at_its_angles():
    for episode in range(GAME.episodes):
        found = coefficients_at(
            GAME, SOLUTION, episode, 2 * np.cos(SOLUTION.angles[::64]), 2 * np.sin(SOLUTION.angles[::64])
        )
        np.testing.assert_allclose(found, SOLUTION.coefficients[episode, ::64], atol=1e-5)


def test_grids_are_fine_enough():
    for game in (GAME, Misconception(belief_learning_rate=3, initial_belief=-0.5)):
        change = refinement(game)
        assert change.coefficients < 3e-6
        assert change.path < 1e-6
    assert refinement(GAME, angles=16, proposals=9).path > 1e-6


def test_coefficients_jump_where_two_choices_tie():
    step = SOLUTION.angles[1]
    last = [jump for jump in JUMPS if jump.episode == 4]
    assert len(last) == 1  # one tie in the last episode of training, whose successors all play 1
    assert last[0].angle == pytest.approx(0.3524 * np.pi, abs=2 * step)
    for jump in JUMPS:
        assert abs(jump.before - jump.after) > 0.05
        at = int(jump.angle / step)
        assert SOLUTION.margins[jump.episode, [at, at + 1]].max() < 1e-3
    # On either side of the last agent's tie, the other side's choice costs it hardly more.
    (tie,) = last
    goal, belief = 0.8 * np.cos(tie.angle), 0.8 * np.sin(tie.angle)
    state = GAME.start(np.zeros((2, 0)), np.full(2, goal))
    state = state._replace(episode=np.full(2, 4), extra=Belief(np.full(2, belief)))
    step = BestResponse(GAME).step(state, np.array([[tie.before], [tie.after]]))
    between = BestResponse(GAME).step(state, np.full((2, 1), (tie.before + tie.after) / 2))
    assert abs(np.diff(step.reward)[0]) < 1e-3
    assert (between.reward < step.reward - 1e-2).all()


def test_margins_are_never_negative_and_infinite_where_there_is_no_choice():
    assert (SOLUTION.margins >= 0).all()
    assert np.isinf(SOLUTION.margins[5:]).all()
    assert np.isinf(SOLUTION.margins[:, 0]).all()  # without a belief there is one minimum, but for ρ > 0


def test_where_the_path_meets_the_bound_the_certificate_is_that_of_the_actual_rules():
    """Beliefs diverge, are projected, and nobody minds: the oracle ignores the bound and loses nothing."""
    game = Misconception(belief_learning_rate=100.0)
    oracle = mesa_env.oracle(game)
    played = mesa_env.rollout(game, oracle, 0.8)
    assert np.abs(played.details["next_belief"]).max() == 10
    assert oracle.certificate.gain < 1e-4
    assert gains(game, oracle).max() < 1e-4
    wild = Misconception(train_then_deploy(5, 20, 3.0), regularization=1.0)
    tables = MisconceptionOracle(wild)
    assert 1 < gains(wild, tables).max() <= certify(wild, tables).gain * 1.001


def test_predictions_have_the_shape_of_the_observation():
    oracle = MisconceptionOracle(GAME)
    state = GAME.start(np.zeros((3, 0)), np.array([0.8, -0.8, 0.0]))
    batch, memory = oracle.predict(GAME.observe(state))
    assert memory is None
    assert (batch.shape, batch.dtype) == ((3, 1), np.float32)
    for row, seen in enumerate(GAME.observe(state)):
        single, _ = oracle.predict(seen)
        assert single.shape == (1,)
        np.testing.assert_array_equal(single, batch[row])


@pytest.mark.parametrize("shape", [(), (4,), (6,), (2, 4), (1, 1, 5)])
def test_an_observation_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"\(5,\) or \(B, 5\); got shape"):
        MisconceptionOracle(GAME).predict(np.zeros(shape))


def test_bad_grids_states_and_growth_are_refused():
    with pytest.raises(ValueError, match="angles must be a multiple of 4; got 10"):
        solve_misconception(GAME, angles=10)
    with pytest.raises(ValueError, match="angles must be a whole number ≥ 4; got 0"):
        solve_misconception(GAME, angles=0)
    with pytest.raises(ValueError, match="proposals must be a whole number ≥ 3; got 2"):
        solve_misconception(GAME, proposals=2)
    with pytest.raises(ValueError, match="goals and beliefs must be finite; got"):
        coefficients_at(GAME, SOLUTION, [0], [np.nan], [0.3])
    for rate in (1e30, 1e38):
        with pytest.raises(ValueError, match="must not grow beyond floating point; from episode"):
            solve_misconception(Misconception([rate] * 12, regularization=2.0), angles=8)
