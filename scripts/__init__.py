"""Commands: each module parses its arguments, calls the packages, and writes a run folder."""
