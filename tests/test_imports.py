"""Imports go one way, also those within functions."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW = {
    "numerics": set(),
    "arrays": set(),
    "validation": set(),
    "named": {"validation"},
    "worlds": {"arrays", "named", "numerics", "validation"},
    "optimizers": {"arrays", "named", "validation"},
    "rules": {"arrays", "numerics", "optimizers", "validation", "worlds"},
    "agent": {"rules", "validation"},
    "problems": {"agent", "rules", "validation"},
    "interfaces": {"agent", "optimizers", "problems", "rules", "validation", "worlds"},
    "laws": {"numerics", "validation"},
    "solutions": {"agent", "laws", "numerics", "optimizers", "rules", "validation", "worlds"},
    "evaluation": {
        "agent",
        "numerics",
        "optimizers",
        "problems",
        "rules",
        "solutions",
        "validation",
        "worlds",
    },
}
"""What each floor of `mesa_env` may import beside itself; the package and its entry points may import any."""


def find_imports(source):
    """Dotted names of all modules that a file imports, or takes names from."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def find_floors(source):
    """Floors of `mesa_env` that a file imports; "" stands for the package itself, which is above them."""
    for name in find_imports(source):
        package, _, rest = f"{name}.".partition(".")
        if package == "mesa_env":
            floor = rest.partition(".")[0]
            yield floor if floor in BELOW else ""


@pytest.mark.parametrize("floor", BELOW)
def test_floors_import_only_those_below_them(floor):
    paths = [*(ROOT / "mesa_env" / floor).rglob("*.py"), *(ROOT / "mesa_env").glob(f"{floor}.py")]
    assert paths
    for path in paths:
        assert set(find_floors(path.read_text(encoding="utf-8"))) <= BELOW[floor] | {floor}, path


def test_every_module_is_on_a_floor():
    found = {path.stem for path in (ROOT / "mesa_env").iterdir() if path.suffix in ("", ".py")}
    assert found - {"__pycache__"} == BELOW.keys() | {"__init__", "entry_points"}


@pytest.mark.parametrize(("package", "above"), [("mesa_env", {"agents", "scripts"}), ("agents", {"scripts"})])
def test_packages_import_none_above_them(package, above):
    for path in (ROOT / package).rglob("*.py"):
        named = {name.partition(".")[0] for name in find_imports(path.read_text(encoding="utf-8"))}
        assert not named & above, path


@pytest.mark.parametrize(
    ("source", "floors"),
    [
        ("def f():\n    from mesa_env.evaluation.certified_oracle import oracle", {"evaluation"}),
        ("from mesa_env import numerics, rules", {"numerics", "rules"}),
        ("import mesa_env.solutions.grid as grid", {"solutions"}),
        ("import mesa_env", {""}),
        ("from mesa_env import oracle", {""}),
        ("import numpy", set()),
    ],
)
def test_imports_are_found_wherever_they_are(source, floors):
    assert set(find_floors(source)) == floors
