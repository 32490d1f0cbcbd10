"""The exact oracle against theorems, brute force, exact arithmetic and the published numbers."""

import os
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import mesa_env
from mesa_env import Game, train_then_deploy

EPSILON = np.finfo(np.float64).eps

discounts = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))
regularizations = st.one_of(st.just(0.0), st.floats(1e-6, 3))
rates = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(-6, 6).map(lambda x: 10.0**x))
moderate_rates = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.01, 3))


@st.composite
def games_with_profiles(draw, rates=rates, longest=6):
    """Any short game, and any profile of coefficients in it, negative ones included."""
    schedule = draw(st.lists(rates, min_size=1, max_size=longest))
    game = Game(
        learning_rates=schedule,
        discount=draw(discounts),
        regularization=draw(regularizations),
        coefficient_bound=draw(st.sampled_from([0.05, 0.7, 2.0, 5.0])),
    )
    bound = game.coefficient_bound
    profile = draw(st.lists(st.floats(-bound, bound), min_size=len(schedule), max_size=len(schedule)))
    return game, np.array(profile)


def equilibrium_of(game):
    """The closed form's profile, also where it would not be the game's, since the projection binds."""
    return mesa_env.solve_equilibria(
        game.learning_rates[None], game.discount, game.regularization, game.coefficient_bound
    )[0]


def unit_cost(game, profile, episode, coefficient):
    """J of one agent with goal 1, for one coefficient or many, by playing the game without projection."""
    goal, total = np.ones_like(coefficient), np.zeros_like(coefficient)
    for k in range(episode, game.episodes):
        c = coefficient if k == episode else profile[k]
        total = total + game.discount ** (k - episode) * (c * goal - 1) ** 2
        goal = goal - game.learning_rates[k] * (2 * c * c * goal + 2 * game.regularization * goal)
    return total


def rounding_of_cost(game, profile, episode):
    """A bound on what rounding can do to J near its minimum: its terms' size, in units of rounding."""
    sums = mesa_env.unit_sums(game, profile)
    drift = 1 + abs(1 - 2 * game.learning_rates[episode] * game.regularization)
    return 1e-12 * (1 + drift**2 * (sums.squares[episode] + abs(sums.outputs[episode])) + game.episodes)


def cubic_of(game, profile, episode):
    """α and β of agent n's first-order condition in exact arithmetic, and a bound on β's rounding."""
    rate, discount = Fraction(game.learning_rates[episode]), Fraction(game.discount)
    a = 1 - 2 * rate * Fraction(game.regularization)
    sums = mesa_env.unit_sums(game, profile)
    squares, outputs = Fraction(sums.squares[episode]), Fraction(sums.outputs[episode])
    rounding = (1 + 4 * rate * discount * ((1 + abs(a)) * squares + abs(outputs))) * Fraction(8 * EPSILON)
    return 8 * rate**2 * discount * squares, 1 - 4 * rate * discount * (a * squares - outputs), rounding


# -- Best responses ---------------------------------------------------------------------------------------


@given(games_with_profiles())
def test_best_response_is_the_positive_root_of_the_cubic_in_exact_arithmetic(game_and_profile):
    game, profile = game_and_profile
    for n, best in enumerate(mesa_env.best_responses(game, profile)):
        alpha, beta, rounding = cubic_of(game, profile, n)
        tiny = Fraction(16 * EPSILON)
        below, above = Fraction(best) * (1 - tiny), Fraction(best) * (1 + tiny)
        assert alpha * (1 - tiny) * below**3 + (beta - rounding) * below < 1
        if best < game.coefficient_bound:
            assert alpha * (1 + tiny) * above**3 + (beta + rounding) * above > 1


@given(games_with_profiles(rates=moderate_rates))
def test_cubic_has_exactly_one_positive_root(game_and_profile):
    game, profile = game_and_profile
    for n in range(game.episodes):
        alpha, beta, _ = (float(value) for value in cubic_of(game, profile, n))
        if alpha < 1e-9 * max(1, abs(beta)) ** 3:
            continue  # numpy.roots misses the other two roots, which run off to infinity
        roots = np.roots([alpha, 0, beta, -1])
        positive = roots.real[(np.abs(roots.imag) < 1e-9 * np.abs(roots)) & (roots.real > 0)]
        assert len(positive) == 1
        best = mesa_env.best_response(game, profile, n)
        assert best == pytest.approx(min(positive[0], game.coefficient_bound), rel=1e-9)


@given(games_with_profiles())
def test_best_response_beats_a_dense_scan_and_is_never_zero(game_and_profile):
    game, profile = game_and_profile
    bound = game.coefficient_bound
    scan = np.linspace(-bound, bound, 1001)
    for n in range(game.episodes):
        best = mesa_env.best_response(game, profile, n)
        assert 0 < best <= bound
        cost = unit_cost(game, profile, n, best)
        scanned = unit_cost(game, profile, n, scan).min()
        assert cost <= scanned + rounding_of_cost(game, profile, n) + 1e-12 * cost


def test_best_response_looks_only_at_successors():
    game = Game(learning_rates=train_then_deploy(4, 3))
    profile = np.linspace(-1, 1, 7)
    other = np.where(np.arange(7) <= 2, 2.0, profile)
    assert mesa_env.best_response(game, profile, 2) == mesa_env.best_response(game, other, 2)
    assert mesa_env.best_response(game, profile, 1) != mesa_env.best_response(game, other, 1)


# -- Unit sums --------------------------------------------------------------------------------------------


@given(games_with_profiles(rates=moderate_rates))
def test_unit_sums_are_the_sums_over_a_played_game(game_and_profile):
    game, profile = game_and_profile
    for n in range(game.episodes):
        goal, sums, magnitude = 1.0, np.zeros(3), 0.0
        for k in range(n + 1, game.episodes):
            weight, output = game.discount ** (k - n - 1), profile[k] * goal
            sums += weight * np.array([output**2, output, 1])
            magnitude += weight * abs(output)
            goal *= 1 - 2 * game.learning_rates[k] * (profile[k] ** 2 + game.regularization)
        found = [field[n] for field in mesa_env.unit_sums(game, profile)]
        np.testing.assert_allclose(found, sums, rtol=1e-9, atol=1e-12 * (1 + magnitude + sums[0]))


# -- Equilibria -------------------------------------------------------------------------------------------

BRUTE_FORCE_GAMES = {
    "one episode": Game(learning_rates=[1.0]),
    "training, then deployment": Game(learning_rates=[1.0, 0.0]),
    "endless training": Game(learning_rates=[1.0, 1.0, 1.0]),
    "uneven schedule": Game(learning_rates=[0.3, 4.0, 0.0]),
    "gap in training": Game(learning_rates=[0.7, 0.0, 0.7]),
    "discounted": Game(learning_rates=[1.0, 1.0, 0.0], discount=0.6),
    "regularized": Game(learning_rates=[0.5, 0.5, 0.0], regularization=0.4),
    "overcorrected": Game(learning_rates=[1.0, 1.0, 0.0], regularization=0.8),
    "tightly bound": Game(learning_rates=[1.0, 1.0, 0.0], coefficient_bound=0.3),
}


@pytest.mark.parametrize("game", BRUTE_FORCE_GAMES.values(), ids=BRUTE_FORCE_GAMES)
def test_backward_induction_by_numerical_minimization_finds_the_same(game):
    bound = game.coefficient_bound
    plan = np.zeros(game.episodes)
    for n in reversed(range(game.episodes)):

        def cost(c, n=n):
            return float(unit_cost(game, plan, n, c))

        scan = np.linspace(-bound, bound, 2001)
        near = scan[np.argmin(unit_cost(game, plan, n, scan))]
        around = (max(near - 0.01 * bound, -bound), min(near + 0.01 * bound, bound))
        plan[n] = minimize_scalar(cost, bounds=around, method="bounded", options={"xatol": 1e-10}).x
    np.testing.assert_allclose(mesa_env.solve_equilibrium(game), plan, atol=1e-6)


EXPERIMENT_ONE, EXPERIMENT_TWO = train_then_deploy(), np.ones(100)


def path_of(game, profile):
    """Goals on the way of a profile, θ_0 … θ_N, by the base update alone."""
    contraction = 1 - 2 * game.learning_rates * (profile**2 + game.regularization)
    return game.initial_goal * np.cumprod(np.append(1.0, contraction))


@pytest.mark.parametrize(
    ("game", "coefficients", "goals", "digits"),
    [
        (Game(), {0: 0.0311513, 19: 0.1115536, 20: 1.0}, {20: 0.7232141, 99: 0.7232141}, 7),
        (Game(learning_rates=EXPERIMENT_TWO), {0: 0.0495596}, {99: 0.0818778}, 7),
        (Game(regularization=0.01), {0: 0.0129}, {20: 0.5155}, 4),
        (Game(regularization=0.1), {}, {20: 0.0074}, 4),
        (Game(discount=0.95), {0: 0.0915}, {20: 0.5369}, 4),
    ],
    ids=["experiment one", "experiment two", "λ = 0.01", "λ = 0.1", "γ = 0.95"],
)
def test_reference_numbers(game, coefficients, goals, digits):
    equilibrium = mesa_env.solve_equilibrium(game)
    path = path_of(game, equilibrium)
    for n, value in coefficients.items():
        assert round(equilibrium[n], digits) == value
    for n, value in goals.items():
        assert round(path[n], digits) == value


@given(games_with_profiles())
def test_the_equilibrium_of_a_subgame_is_part_of_that_of_the_game(game_and_profile):
    game, _ = game_and_profile
    whole = equilibrium_of(game)
    for n in range(game.episodes):
        rest = Game(
            learning_rates=game.learning_rates[n:],
            discount=game.discount,
            regularization=game.regularization,
            coefficient_bound=game.coefficient_bound,
        )
        np.testing.assert_array_equal(equilibrium_of(rest), whole[n:])


@pytest.mark.parametrize(
    "game",
    [
        Game(learning_rates=np.zeros(7), discount=0.9),
        Game(discount=0.0),
        Game(learning_rates=[3.0], regularization=1.0),
        Game(learning_rates=np.full(5, 1e-300)),
    ],
    ids=["deployment only", "no tomorrow", "one episode", "hardly any training"],
)
def test_agents_without_a_future_to_protect_emit_their_goal(game):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the goal leaves")
        np.testing.assert_array_equal(mesa_env.solve_equilibrium(game), np.ones(game.episodes))


def test_a_very_long_game():
    game = Game(learning_rates=np.ones(10_000))
    equilibrium = mesa_env.solve_equilibrium(game)
    assert (equilibrium > 0).all()
    assert equilibrium[-1] == 1
    assert mesa_env.nash_conv(game, equilibrium) <= 1e-12
    np.testing.assert_array_equal(
        equilibrium[-100:], mesa_env.solve_equilibrium(Game(learning_rates=EXPERIMENT_TWO))
    )
    for n in (0, 5_000, 9_998):
        others = unit_cost(game, equilibrium, n, equilibrium[n] * np.array([0, 0.9, 0.99, 1.01, 1.1, -1]))
        assert unit_cost(game, equilibrium, n, equilibrium[n]) < others.min()


@pytest.mark.parametrize("bound", [0.01, 0.05, 0.1, 0.5])
def test_a_small_bound_clips(bound):
    game = Game(coefficient_bound=bound)
    equilibrium = mesa_env.solve_equilibrium(game)
    assert equilibrium.max() == bound
    assert (equilibrium[20:] == bound).all()
    assert mesa_env.nash_conv(game, equilibrium) <= 1e-14
    clipped = equilibrium == bound
    # A clipped agent would go further if it could; the others would not.
    free = mesa_env.best_responses(Game(coefficient_bound=2.0), equilibrium)
    assert (free[clipped] >= bound).all()
    np.testing.assert_allclose(free[~clipped], equilibrium[~clipped], rtol=1e-12)


@pytest.mark.parametrize(
    "extreme",
    [
        Game(learning_rates=[1e38, 1e38, 1e38, 1e38, 0.0]),
        Game(regularization=1e8),
        Game(learning_rates=np.ones(2_000), regularization=1.2),
    ],
    ids=["huge learning rate", "huge regularization", "long growth"],
)
def test_games_beyond_floating_point_are_refused_and_never_solved_wrongly(extreme):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the goal leaves")
        try:
            equilibrium = mesa_env.solve_equilibrium(extreme)
        except ValueError:
            return
    assert np.isfinite(equilibrium).all()
    assert (equilibrium > 0).all()


# -- Where the projection binds ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("game", "binds"),
    [
        (Game(), False),
        (Game(regularization=0.9), False),
        (Game(regularization=1.0), False),
        (Game(regularization=1.2), True),
        (Game(regularization=1.2, initial_goal=0.0), False),
        (Game(regularization=1.2, initial_goal=(-1, 1)), True),
        (Game(regularization=1.2, initial_goal=0.001), False),
        (Game(initial_goal=10), False),
        (Game(learning_rates=[1.0, 0.0], regularization=3.0, initial_goal=1.9), False),
        (Game(learning_rates=[1.0, 0.0], regularization=3.0, initial_goal=(-2.1, 0)), True),
        (Game(learning_rates=[1.0, 0.0], regularization=3.0, goal_bound=2.0, initial_goal=0.5), True),
    ],
)
def test_warns_exactly_where_the_projection_binds_on_the_equilibrium_path(game, binds):
    largest = np.max(np.abs(game.initial_goal))
    played = path_of(Game(game.learning_rates, regularization=game.regularization), equilibrium_of(game))
    assert (np.abs(played / 0.8 * largest).max() > game.goal_bound) == binds
    if binds:
        with pytest.warns(UserWarning, match=f"the goal leaves ±{game.goal_bound:g}"):
            mesa_env.solve_equilibrium(game)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mesa_env.solve_equilibrium(game)


# -- Batches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("games", [1, 63, 64, 65, 200])
@pytest.mark.parametrize("cores", [1, 3])
def test_each_row_of_a_batch_is_the_equilibrium_of_its_game_bit_for_bit(games, cores, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    generator = np.random.default_rng(games)
    schedules = np.exp(generator.normal(0, 4, (games, 30))) * (generator.random((games, 30)) < 0.7)
    discount = generator.uniform(0, 1, games) ** 0.2
    regularization = generator.exponential(0.3, games) / (1 + schedules.max(axis=1))
    batch = mesa_env.solve_equilibria(schedules, discount, regularization, coefficient_bound=0.9)
    shared = mesa_env.solve_equilibria(schedules, 0.5)
    np.testing.assert_array_equal(shared, mesa_env.solve_equilibria(schedules, np.full(games, 0.5)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the goal leaves")
        for row, schedule in enumerate(schedules):
            game = Game(schedule, discount[row], regularization[row], coefficient_bound=0.9)
            np.testing.assert_array_equal(batch[row], mesa_env.solve_equilibrium(game))
            np.testing.assert_array_equal(shared[row], mesa_env.solve_equilibrium(Game(schedule, 0.5)))


def test_no_games_have_no_equilibria():
    assert mesa_env.solve_equilibria(np.ones((0, 5))).shape == (0, 5)


# -- Validation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "allowed", "given_value"),
    [
        ({"learning_rates": [1.0, 0.0]}, r"shape \(B, N\)", r"\(2,\)"),
        ({"learning_rates": np.ones((2, 0))}, r"N ≥ 1", r"\(2, 0\)"),
        ({"learning_rates": [[1.0, -0.25]]}, "≥ 0", "-0.25"),
        ({"learning_rates": [[1.0, np.nan]]}, "finite", "nan"),
        ({"learning_rates": [[1.0, np.inf]]}, "finite", "inf"),
        ({"learning_rates": "fast"}, "learning_rates must", "fast"),
        ({"learning_rates": [[1.0], [1.0, 0.0]]}, "learning_rates must", ""),
        ({"discount": 1.5}, r"\[0, 1\]", r"1\.5"),
        ({"discount": [-0.5, 1.0]}, r"\[0, 1\]", r"-0\.5"),
        ({"discount": [0.1, 0.2, 0.3]}, r"shape \(2,\)", r"0\.3"),
        ({"discount": "low"}, "discount must", "low"),
        ({"regularization": -0.5}, "regularization must", r"-0\.5"),
        ({"regularization": np.nan}, "finite", "nan"),
        ({"coefficient_bound": 0.0}, "greater than 0", r"0\.0"),
        ({"coefficient_bound": np.inf}, "finite", "inf"),
        ({"coefficient_bound": "wide"}, "coefficient_bound must", "wide"),
    ],
)
def test_solve_equilibria_refuses_bad_input(arguments, allowed, given_value):
    with pytest.raises(ValueError, match=allowed) as refusal:
        mesa_env.solve_equilibria(**{"learning_rates": np.ones((2, 3)), **arguments})
    refusal.match(given_value)


@pytest.mark.parametrize("episode", [-1, 3, 100, 0.5, "first", None])
def test_best_response_refuses_an_episode_that_the_game_does_not_have(episode):
    with pytest.raises(ValueError, match="episode must be one of 0…2") as refusal:
        mesa_env.best_response(Game(learning_rates=[1, 0, 0]), [1, 1, 1], episode)
    refusal.match(str(episode))


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ([1.0, 1.0], r"shape \(3,\); got shape \(2,\)"),
        ([1.0, 2.5, 1.0], r"±2; got 2\.5 for episode 1"),
        ([1.0, 1.0, np.nan], "finite numbers .* got nan for episode 2"),
        ("all", "3 numbers; got 'all'"),
    ],
)
@pytest.mark.parametrize("function", [mesa_env.exploitability, mesa_env.nash_conv, mesa_env.unit_sums])
def test_a_profile_must_fit_the_game(function, profile, message):
    with pytest.raises(ValueError, match=message):
        function(Game(learning_rates=[1, 0, 0]), profile)
