"""How the kernels of the solvers are compiled."""

from numba import njit

compiled = njit(cache=True, error_model="numpy", nogil=True)
"""Division by 0 gives infinities as in NumPy, and kernels hold no lock; compiled once a machine."""
