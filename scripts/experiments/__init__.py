"""The experiments behind docs/results.md: one module a question, each a function that returns its finding."""

from __future__ import annotations

from collections.abc import Callable

from scripts.experiments import (
    decoupling,
    discount,
    hidden_deployment,
    infinite_horizon,
    learnable_discount,
    misconception,
    neural,
    post,
    regularization,
)
from scripts.experiments.finding import Finding

EXPERIMENTS: dict[str, Callable[[], Finding]] = {
    "one": post.experiment_one,
    "two": post.experiment_two,
    "discount": discount.experiment,
    "regularization": regularization.experiment,
    "infinite_horizon": infinite_horizon.experiment,
    "misconception": misconception.experiment,
    "learnable_discount": learnable_discount.experiment,
    "hidden_deployment": hidden_deployment.experiment,
    "decoupling": decoupling.experiment,
    "neural": neural.experiment,
}
"""Every experiment by the name that `scripts/reproduce.py` knows it by."""
