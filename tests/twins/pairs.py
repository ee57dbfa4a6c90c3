"""Cases of the loops of hashed pairs."""
import numpy as np

from sketchxc import hashing, pairs

from . import Case
from .sparse import csr, normal

PARTS = {"score", "train"}  # a step of a loop; one example after the other


def scored(rng, depth):
    return (normal(rng, depth, pairs.SLICES, 3), hashing.seeds(depth, 2), np.arange(70) % pairs.SLICES, *csr(rng),
            rng.integers(-1, 70, (9, 4)).astype(np.int32), normal(rng, 9, 4), np.full((9, 4), np.nan, np.float32))


CASES = [Case("scores", lambda rng, depth=depth: scored(rng, depth), rtol=1e-5, atol=1e-5) for depth in (1, 3)]
