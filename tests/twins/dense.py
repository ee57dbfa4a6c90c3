"""Cases of the loop of small dense nets."""
import numpy as np

from . import Case
from .hashing import words

PARTS = set()
CASES = [Case("coins", lambda rng, share=share: (words(rng, 1)[0], np.uint64(share * 2**32), np.array([False, True] * 20)))
         for share in (0.0, 0.3, 1.0)]
