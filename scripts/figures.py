"""Figures in the manner of the post's."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from agents.plain_text import escape_mathtext
from mesa_env.evaluation.trajectory import Trajectory
from mesa_env.rules import GoalTraining
from mesa_env.rules.rules import Array, Rules
from mesa_env.worlds.parameters import make_world
from mesa_env.worlds.world import names_of

_COLUMNS = 3
_HEIGHT = 2.2
"""Display limit: a game that leaves ± this is shown as far as it stays within."""


def side_by_side(game: Rules, played: Mapping[str, Trajectory]) -> Figure:
    """One panel per agent: goal, coefficient, learning rate and output, until soon after training.

    Where goals are vectors, their parts, the pursuit and the base return take the place of goal, coefficient
    and output.
    """
    window = min(int(game.training.nonzero()[0].max(initial=0)) + 11, game.episodes)
    columns = min(_COLUMNS, len(played))
    rows = -(-len(played) // columns)
    figure = Figure(figsize=(4.8 * columns, 3.6 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, (name, trajectory) in zip(grid, played.items(), strict=False):
        rates = game.learning_rates[: len(trajectory.training)] * trajectory.training
        goals, action, emitted, output = _quantities(game, trajectory)
        axes.plot(trajectory.goals[:window], label=goals)
        axes.plot(trajectory.coefficients[:window], label=action)
        axes.plot(rates[:window], color="0.6", label="learning rate η")
        axes.plot(emitted[:window], linestyle="--", label=output)
        axes.set(title=escape_mathtext(name), xlabel="episode")
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", integer=True)
    for axes in grid[len(played) :]:
        axes.set_axis_off()
    lowest, highest = grid[0].get_ylim()
    if not game.goal_shape:
        grid[0].set_ylim(max(lowest, -_HEIGHT), min(highest, _HEIGHT))
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _quantities(game: Rules, played: Trajectory) -> tuple[str | list[str], str, Array, str]:
    """Names of a game's goals and actions, and what its agents bring about, with its name."""
    if isinstance(game, GoalTraining):
        features = names_of(make_world(game.world), "features")
        goals = [f"goal: {escape_mathtext(feature)}" for feature in features]
        return goals, "pursuit c", played.details["base_return"], "base return"
    return "mesa-objective θ", "coefficient c", played.outputs, "output cθ"


def panels(count: int, xlabel: str) -> Figure:
    """Empty axes over the same quantity: up to three side by side, four in a square."""
    columns = 2 if count == 4 else min(_COLUMNS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.6 * columns, 3.6 * rows), layout="constrained")
    for cell in range(count):
        axes = figure.add_subplot(rows, columns, cell + 1, xlabel=xlabel)
        axes.grid(alpha=0.3)
    return figure
