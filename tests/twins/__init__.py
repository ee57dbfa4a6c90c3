"""Arguments for which a CPU loop and its CUDA twin must agree: one module per column, named like it.

A module has CASES, a list of `Case`, and PARTS, the names of CPU functions that are steps of a loop and have no twin of their own; SMALL,
if it has it, are constants of its grids by name, so small that a case of few items goes through all of their steps. The simulator runs
every case on both sides (test_twins.py), and every kernel that a case launches is compiled to PTX (test_ptx.py).
"""
import importlib
import pkgutil
from typing import Any, Callable, NamedTuple

import numba
import numpy as np
import pytest

from sketchxc.sparse import rows

SIMULATED = bool(numba.config.ENABLE_CUDASIM and numba.config.DISABLE_JIT)
NEEDS = "needs NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1"
CLOSE = dict(rtol=2e-5, atol=2e-5)


class Case(NamedTuple):
    """One call: afterwards all arrays among the arguments, and what is returned, must be equal on both sides.

    function : name in `sketchxc._cpu.<column>` and `sketchxc._cuda.<column>`.
    arguments : function of a NumPy generator that draws fresh arguments; all arrays on the host, outputs poisoned.
    rtol, atol : tolerances of float arrays; integers must be bit-equal.
    reference : None, or what to call instead of the CPU's function, where the documented result on a device is another.
    """
    function: str
    arguments: Callable
    rtol: float = 0.0
    atol: float = 0.0
    reference: Any = None


def columns():
    """Name -> module of this package for every column with a twin."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def random_rows(rng, n=5, width=7):
    """Sparse rows, half of whose numbers are zero."""
    return rows((rng.normal(size=(n, width)) * (rng.random((n, width)) < 0.5)).astype(np.float32))


def there(*states):
    """All arrays are on the device."""
    return all(hasattr(state, "copy_to_host") if not isinstance(state, tuple)
               else there(*(p for p in state if not np.isscalar(p) and p is not None)) for state in states)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks and grids so small that small inputs need several, for whole runs; it works wherever it is imported."""
    target = importlib.import_module("sketchxc._cuda._target")
    monkeypatch.setattr(target, "THREADS", 4)
    monkeypatch.setattr(target, "BLOCKS", 3)


@pytest.fixture
def small_grids(monkeypatch):
    """Blocks and grids so small that every case needs several blocks and several strides; quick in the simulator, too."""
    target = importlib.import_module("sketchxc._cuda._target")
    monkeypatch.setattr(target, "THREADS", 4)
    monkeypatch.setattr(target, "BLOCKS", 3)
    for name, module in columns().items():
        for constant, value in getattr(module, "SMALL", {}).items():
            monkeypatch.setattr(importlib.import_module(f"sketchxc._cuda.{name}"), constant, value)
