"""Worlds in which a goal is a vector of weights over features: plan tables, and planners for goals."""

from mesa_env.worlds.kitchens import CookieElimination, CrumbVacuuming, Kitchen, TableSetting, TableWiping
from mesa_env.worlds.parameters import WORLDS, build_world
from mesa_env.worlds.planner import Planned, plan
from mesa_env.worlds.world import Plans, World

__all__ = ["WORLDS", "CookieElimination", "CrumbVacuuming", "Kitchen", "Planned", "Plans"]
__all__ += ["TableSetting", "TableWiping", "World", "build_world", "plan"]
