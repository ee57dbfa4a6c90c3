"""CUDA twins: in Numba's simulator every grid gives what its CPU loop gives, and no loop is without a twin.

Runs with NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1; a GPU runs the same cases in benchmarks/bench_cuda.py.
"""
import importlib
import inspect
import pathlib
import types

import numpy as np
import pytest
from twins import NEEDS, SIMULATED, columns, small_grids  # noqa: F401

if not SIMULATED:
    pytest.skip(NEEDS, allow_module_level=True)

import sketchxc
from sketchxc import to_device, to_host

# Columns without a twin, and why.
HOST_ONLY = {"vector": "steps for the vector registers of a CPU", "files": "bytes of files", "text": "Python's texts",
             "count": "tables that grow", "heavy": "one key after the other",
             "sessions": "one event after the other", "partition": "learned once, on the host", "minhash": "prepared on the host",
             "density": "counts of points, made on the host"}
CASES = [(name, case) for name, module in columns().items() for case in module.CASES]
HOME = pathlib.Path(sketchxc.__file__).parent


def functions(module):
    """Name -> function of those that a module defines; kernels as the functions that start them."""
    found = {name: value for name, value in vars(module).items() if callable(value) and not isinstance(value, type)}
    return {name: value for name, value in found.items() if getattr(value, "__module__", None) == module.__name__}


def cells(layer):
    return {path.stem for path in (HOME / layer).glob("*.py")} - {"__init__", "_target"}


@pytest.mark.usefixtures("small_grids")
@pytest.mark.parametrize("name, case", CASES, ids=[f"{name}.{case.function}" for name, case in CASES])
def test_twins_agree(name, case):
    cpu, cuda = (importlib.import_module(f"sketchxc.{layer}.{name}") for layer in ("_cpu", "_cuda"))
    for seed in range(2):
        host = case.arguments(np.random.default_rng(seed))
        there = to_device(case.arguments(np.random.default_rng(seed)))
        wanted = (case.reference or getattr(cpu, case.function))(*host)
        found = getattr(cuda, case.function)(*there)
        for i, (a, b) in enumerate(zip((*host, wanted), (*to_host(there), to_host(found)), strict=True)):
            label = f"argument {i}" if i < len(host) else "result"
            if isinstance(a, np.ndarray) and a.dtype.kind == "f":
                np.testing.assert_allclose(b, a, rtol=case.rtol, atol=case.atol, err_msg=label)
            else:
                np.testing.assert_array_equal(b, a, err_msg=label)


def test_every_column_has_a_side():
    """A new column of loops gets a twin, or is listed above with a reason."""
    assert cells("_cpu") == cells("_cuda") | set(HOST_ONLY)
    assert not cells("_cuda") & set(HOST_ONLY)
    assert set(columns()) == cells("_cuda")


def missing(name, cpu, cuda, parts):
    """Loops without a twin of the same arguments, as text."""
    found = []
    for function, loop in functions(cpu).items():
        if function in parts or function.startswith("_"):
            continue
        twin = functions(cuda).get(function)
        if twin is None:
            found.append(f"{name}.{function} has no twin")
        elif list(inspect.signature(twin).parameters) != list(inspect.signature(loop).parameters):
            found.append(f"{name}.{function} has a twin of other arguments")
    return found


@pytest.mark.parametrize("name", sorted(columns()))
def test_every_loop_has_a_twin(name):
    cpu, cuda = (importlib.import_module(f"sketchxc.{layer}.{name}") for layer in ("_cpu", "_cuda"))
    parts = columns()[name].PARTS
    assert missing(name, cpu, cuda, parts) == []
    assert parts <= set(functions(cpu))
    assert {case.function for case in columns()[name].CASES} >= set(functions(cpu)) - parts


def test_a_missing_twin_is_found():
    def loop(keys, out):
        return keys, out

    def renamed(keys, found):
        return keys, found
    loop.__module__ = renamed.__module__ = "m"
    empty, cpu, cuda = types.SimpleNamespace(__name__="m"), types.SimpleNamespace(__name__="m"), types.SimpleNamespace(__name__="m")
    cpu.loop, cuda.loop = loop, renamed
    assert missing("m", cpu, empty, set()) == ["m.loop has no twin"]
    assert missing("m", cpu, cuda, set()) == ["m.loop has a twin of other arguments"]
    assert missing("m", cpu, empty, {"loop"}) == missing("m", cpu, cpu, set()) == []
