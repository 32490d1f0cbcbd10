"""The experiments behind docs/results.md, one module per question.

Each computes a `Finding`: numbers, tables, a figure, and whether each claim is true. The words are in
docs/templates/results, one template per experiment.
"""

EXPERIMENTS = {
    "one": "post:compute_first",
    "two": "post:compute_second",
    "discount": "discount:compute",
    "regularization": "regularization:compute",
    "infinite_horizon": "infinite_horizon:compute",
    "misconception": "misconception:compute",
    "learnable_discount": "learnable_discount:compute",
    "hidden_deployment": "hidden_deployment:compute",
    "decoupling": "decoupling:compute",
    "preservation": "preservation:compute",
    "neural": "neural:compute",
    "laws": "laws:compute",
    "schedules": "schedules:compute",
    "monitor": "monitor:compute",
    "optimizers": "optimizers:compute",
    "budgets": "budgets:compute",
    "conserved": "conserved:compute",
    "value_learning": "value_learning:compute",
    "delusion": "delusion:compute",
    "diversity": "diversity:compute",
    "deception": "deception:compute",
    "learned_goals": "learned_goals:compute",
}
"""Module and function of each experiment, in the order of docs/results.md."""
