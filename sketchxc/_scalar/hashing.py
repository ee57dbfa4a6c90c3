"""Hash functions of one 64-bit key. All state is uint64: one int64 operand would turn the arithmetic into float64 or wrong integers."""
import numpy as np

from .._jit import scalar


@scalar
def mix64(key):
    """MurmurHash3's 64-bit finalizer: a bijection in which every input bit moves every output bit."""
    key = key ^ (key >> np.uint64(33))
    key = key * np.uint64(0xFF51AFD7ED558CCD)
    key = key ^ (key >> np.uint64(33))
    key = key * np.uint64(0xC4CEB9FE1A85EC53)
    return key ^ (key >> np.uint64(33))


@scalar
def splitmix64(state):
    """Output of the splitmix64 generator whose state has just become `state`."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@scalar
def bucket(mixed, width):
    """Number in [0, width) from the high 32 bits of a mixed key (multiply-shift: no division); width below 2**31."""
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(width)) >> np.uint64(32))


@scalar
def side(mixed):
    """Sign +1 or -1 from the lowest bit of a mixed key, which `bucket` does not read."""
    return np.int64(1) - np.int64((mixed & np.uint64(1)) << np.uint64(1))


@scalar
def cell(key, seed, width):
    """Bucket of a key in the hash row of `seed`."""
    return bucket(mix64(key ^ seed), width)
