"""Cases of the loops of nearest rows."""
import numpy as np

from sketchxc import neighbours, sparse

from . import Case
from .sparse import csr

# Steps of the CPU's loop.
PARTS = {"heaviest_first", "collect", "complete"}


def asked(rng, budget=10**6, rescored=7, nearest=4, power=2.0, n=4):
    """Some of the queries are indexed rows; some have features that nothing has."""
    x = sparse.normalize(sparse.Rows(*csr(rng, 31, 11), 11))
    known = neighbours.index(x._replace(values=np.abs(x.values)), sparse.Rows(*csr(rng, 31, 13), 13))
    queries = sparse.take(x._replace(values=np.abs(x.values)), rng.integers(0, 31, n))
    queries.values[1::7] *= -1
    shortlist = rng.integers(-1, 13, (n, 5)).astype(np.int32)
    if budget is None:  # what the two heaviest features of the last query take
        last = slice(queries.indptr[-2], None)
        own = queries.indices[last][np.argsort(-queries.values[last], kind="stable")][:2]
        budget = int(np.diff(known.starts)[own].sum())
    return (*known, budget, rescored, nearest, power, np.float32(neighbours.SAME), *queries[:3], shortlist,
            np.full((n, 5), np.nan, np.float32), np.ones((n, 5), np.bool_))


CASES = [
    Case("votes", asked, rtol=1e-5, atol=1e-6),
    Case("votes", lambda rng: asked(rng, budget=9, rescored=5, nearest=5), rtol=1e-5, atol=1e-6),
    Case("votes", lambda rng: asked(rng, budget=0, rescored=31, nearest=31, power=0.5), rtol=1e-5, atol=1e-6),
    Case("votes", lambda rng: asked(rng, None, rescored=5, nearest=2, n=2), rtol=1e-5, atol=1e-6),
    Case("votes", lambda rng: asked(rng, n=0)),
]
