"""Pictures and lines of a game so far, drawn from what its episodes produced."""
from __future__ import annotations
from typing import Any
class Screen:
    def __init__(self, game, render_mode): self.render_mode=render_mode
    def show(self, history): return None
    def close(self): pass
