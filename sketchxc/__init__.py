"""sketchxc: extreme classification in log memory, on plain NumPy arrays with Numba kernels.

The modules are the domains: `hashing`, `families`, `sketch`, `sketchbytes`, `rowsketch`, `heavy`, `turnstile`, `sparse`, `minhash`,
`density`, `text`, `count`, `metrics`, `thresholds`, `calibration`, `schedules`, `optim`, `sketchoptim`, `dense`, `embed`, `heads`,
`lookup`, `decode`, `mach`, `shallow`, `growth`, `partition`, `linear`, `crosses`, `votes`, `neighbours`, `packed`, `rerank`,
`pairs`, `recipe`, `ranker`, `sessions`, `files`, `modelfile`, `sizing`, `checkpoint`, `fit`, `pipeline`, `update`, `frame`. The names
below are those that most programs need.
"""
import os as _os

from . import calibration, checkpoint, count, crosses, decode, dense, density, embed, families, files, fit, frame, growth, hashing, heads
from . import heavy, linear, lookup, mach, metrics, minhash, modelfile, neighbours, optim, packed, pairs, partition, pipeline, ranker
from . import recipe, rerank, rowsketch, schedules, sessions, shallow, sizing, sketch, sketchbytes, sketchoptim, sparse, text, thresholds
from . import turnstile, update, votes
from ._jit import enable_cache
from ._place import to_device, to_host
from .files import read_text, read_xc, write_xc
from .modelfile import load, save
from .sizing import Plan, plan
from .sparse import Rows, rows

__all__ = ["LinearClassifier", "MACHClassifier", "Plan", "Rows", "calibration", "checkpoint", "count", "crosses", "decode", "dense",
           "density", "embed", "enable_cache", "estimators", "families", "files", "fit", "frame", "growth", "hashing", "heads", "heavy",
           "linear", "load", "lookup", "mach", "metrics", "minhash", "modelfile", "neighbours", "optim", "packed", "pairs", "partition",
           "pipeline", "plan", "ranker", "read_text", "read_xc", "recipe", "rerank", "rows", "rowsketch", "save", "schedules", "sessions",
           "shallow", "sizing", "sketch", "sketchbytes", "sketchoptim", "sparse", "text", "thresholds", "to_device", "to_host", "turnstile",
           "update", "votes", "write_xc"]

if _os.environ.get("SKETCHXC_CACHE") == "1":
    enable_cache(_os.environ.get("SKETCHXC_CACHE_DIR"))


def __getattr__(name):
    """The estimators, which need scikit-learn, are imported when they are first asked for."""
    if name in ("LinearClassifier", "MACHClassifier", "estimators"):
        from importlib import import_module
        module = import_module(".estimators", __name__)
        return module if name == "estimators" else getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
