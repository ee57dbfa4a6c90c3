"""Types: what every function of the scalar layer returns when compiled, for arguments of the documented types."""
import importlib
import pkgutil

import numba
import numpy as np
import pytest
from numba import types
from numba.core.dispatcher import Dispatcher

import sketchxc._scalar

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
U32, U64, I64, F32 = np.uint32(7), np.uint64(7), 7, np.float32(7)
HYPER = np.array([0.1, 0.1, 0.001, 1e-8, 1, 1, 0, 0], np.float32)
IDS, FLOATS = np.arange(3, dtype=np.int32), np.ones(3, np.float32)
ROWS, CELLS = np.ones((3, 2, 2), np.float32), np.zeros(3, np.int64)

RETURNS = {
    "hashing": {
        "mix64": ((U64,), types.uint64),
        "splitmix64": ((U64,), types.uint64),
        "float_key": ((U64,), types.uint64),
        "bucket": ((U64, I64), types.int64),
        "side": ((U64,), types.int64),
        "cell": ((U64, U64, I64), types.int64),
        "rotate64": ((U64, U64), types.uint64),
        "xxh64_round": ((U64, U64), types.uint64),
        "xxh64_join": ((U64, U64), types.uint64),
        "xxh64_start": ((U64,), types.UniTuple(types.uint64, 4)),
        "xxh64_whole": ((U64, U64, U64, U64), types.uint64),
        "xxh64_eight": ((U64, U64), types.uint64),
        "xxh64_one": ((U64, U64), types.uint64),
        "xxh64_tail": ((U64, U64, I64), types.uint64),
        "xxh64_end": ((U64,), types.uint64),
        "murmur3_word": ((U32,), types.uint32),
        "murmur3_block": ((U32, U32), types.uint32),
        "murmur3_end": ((U32, U32), types.uint32),
        "murmur3_128_first": ((U64,), types.uint64),
        "murmur3_128_second": ((U64,), types.uint64),
        "murmur3_128_block": ((U64, U64, U64, U64), types.UniTuple(types.uint64, 2)),
        "murmur3_128_end": ((U64, U64, U64), types.UniTuple(types.uint64, 2)),
        "official_bucket": ((I64, I64, I64), types.int64),
    },
    "families": {
        "reduced61": ((U64,), types.uint64),
        "product61": ((U64, U64), types.uint64),
        "quotient61": ((U64, U64), types.uint64),
        "multiplied": ((U64, U64), types.uint64),
        "widened": ((U64, U64, I64), types.int64),
    },
    "minhash": {
        "rank": ((U64, U64), types.uint64),
        "fold": ((U64, U32), types.uint64),
    },
    "density": {
        "step": ((F32, F32), types.int64),
        "take_step": ((U64, I64), types.uint64),
        "take_side": ((U64, F32), types.uint64),
    },
    "sketch": {
        "side": ((U64, U64), types.int64),
        "median3": ((F32, F32, F32), types.float32),
        "median5": ((F32, F32, F32, F32, F32), types.float32),
        "low_estimate": ((ROWS, CELLS, I64), types.float32),
        "signed_estimate": ((ROWS, CELLS, np.ones(3, np.float32), I64), types.float32),
    },
    "loss": {
        "exp32": ((F32,), types.float32),
        "log32": ((F32,), types.float32),
        "sigmoid": ((F32,), types.float32),
    },
    "optim": {
        "moments": ((I64, HYPER, F32, F32, F32), types.UniTuple(types.float32, 2)),
        "move": ((I64, HYPER, F32, F32, F32), types.float32),
        "stepped": ((I64, HYPER, F32, F32, F32, F32), types.UniTuple(types.float32, 3)),
        "softened": ((F32, F32), types.float32),
    },
    "dense": {
        "relu": ((F32,), types.float32),
        "tanh": ((F32,), types.UniTuple(types.float32, 2)),
        "mish": ((F32,), types.UniTuple(types.float32, 2)),
        "inverse_deviation": ((F32,), types.float32),
        "norm_slope": ((F32, F32, F32, F32, F32), types.float32),
        "kept": ((U64, U64, U64), types.boolean),
    },
    "embed": {
        "code": ((U64, U64), types.float32),
    },
    "crosses": {
        "pair_cell": ((I64, I64, U64, I64), types.int64),
        "heaviest": ((IDS, FLOATS, I64 - 7, I64 - 4, IDS.copy(), FLOATS.copy()), types.int64),
        "kept_pairs": ((2, IDS, FLOATS, np.zeros(1, np.uint64), IDS, U64, 6, I64, np.zeros(9, np.int64), np.zeros(9, np.float32), IDS,
                        FLOATS, 0), types.int64),
        "ones": ((U64,), types.int64),
    },
    "order": {
        "insert": ((IDS.copy(), 1, np.int64(0)), types.none),
        "sort": ((IDS.copy(), 2), types.none),
        "sort_pairs": ((IDS.copy(), FLOATS.copy(), 2), types.none),
    },
    "packed": {
        "byte_of": ((F32,), types.int8),
    },
    "neighbours": {
        "posting": ((IDS, 0, 1, 0), types.int64),
    },
    "sparse": {
        "faults": ((CELLS, IDS, FLOATS, I64, 0, 2), types.UniTuple(types.int64, 4)),
    },
    "rerank": {
        "draw": ((U64, IDS, 0, 1, np.zeros((1, 2), np.int32), 0, 2, 2, I64, np.zeros(9, np.int64)), types.int64),
    },
    "pairs": {
        "pair_key": ((I64, I64), types.uint64),
    },
    "files": {
        "scaled": ((I64, I64, True), types.Tuple((types.float32, types.boolean))),
        "shortest": ((F32,), types.UniTuple(types.int64, 2)),
    },
}
CASES = [(module, name, *case) for module, functions in RETURNS.items() for name, case in functions.items()]


def scalars():
    """(module, name) of every compiled function that a file of the scalar layer defines."""
    for found in pkgutil.iter_modules(sketchxc._scalar.__path__):
        module = importlib.import_module(f"sketchxc._scalar.{found.name}")
        for name, value in vars(module).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__:
                yield found.name, name


def returned(function, arguments):
    """Compiled return type for exactly these arguments, whatever else the function was compiled for before."""
    function(*arguments)
    return function.overloads[tuple(numba.typeof(argument) for argument in arguments)].signature.return_type


@pytest.mark.parametrize("module, name, arguments, wanted", CASES, ids=[f"{case[0]}.{case[1]}" for case in CASES])
def test_return_type(module, name, arguments, wanted):
    assert returned(getattr(importlib.import_module(f"sketchxc._scalar.{module}"), name), arguments) == wanted


def test_every_scalar_has_a_case():
    assert sorted(scalars()) == sorted(case[:2] for case in CASES)


def test_a_stray_constant_would_be_seen():
    """What the cases guard against: one Python float makes float64 of float32, one int makes another type of uint64."""
    assert returned(numba.njit(lambda x: x * 0.1), (F32,)) == types.float64
    assert returned(numba.njit(lambda x: x + 1), (U64,)) != types.uint64
