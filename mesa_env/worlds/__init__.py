"""Worlds in which a goal is a vector of weights over features: plan tables, and planners for goals."""

from mesa_env.worlds.comparison import GoalComparison, compare_goals
from mesa_env.worlds.kitchens import CookieElimination, CrumbVacuuming, Kitchen, TableSetting, TableWiping
from mesa_env.worlds.observation import ObservedWorld
from mesa_env.worlds.parameters import WORLDS, make_world
from mesa_env.worlds.planner import Planned, plan, sample_plans
from mesa_env.worlds.policy import PlanningAgent
from mesa_env.worlds.probe import Probe, fit_goal
from mesa_env.worlds.world import Plans, World

__all__ = [
    "WORLDS",
    "CookieElimination",
    "CrumbVacuuming",
    "GoalComparison",
    "Kitchen",
    "ObservedWorld",
    "Planned",
    "PlanningAgent",
    "Plans",
    "Probe",
    "TableSetting",
    "TableWiping",
]
__all__ += ["World", "compare_goals", "fit_goal", "make_world", "plan", "sample_plans"]
