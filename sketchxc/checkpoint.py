"""Checkpoints: a training that was killed goes on after its last kept pass, to the same bytes as one that was not."""
import os
import time
from typing import NamedTuple

import numpy as np

from . import _memory, hashing, modelfile


class Checkpoint(NamedTuple):
    """A training after some of its passes.

    run : str, `digest` of its settings and data.  epochs : int, finished passes.  model, state : parameters and their optimizer's state.
    """
    run: str
    epochs: int
    model: object
    state: object


def digest(settings, *arrays):
    """Name of a training: 16 hexadecimal digits of a hash of its settings and data and of this version of the package.

    settings : anything whose repr says what it is.  arrays : NumPy arrays.  Returns str."""
    found = hashing.hash_bytes(f"{modelfile.package_version()} {settings!r}".encode())
    for array in arrays:
        kind = f"{array.dtype} {array.shape}".encode()
        found = hashing.hash_bytes(np.ascontiguousarray(array).view(np.uint8).reshape(-1), hashing.hash_bytes(kind, found))
    return f"{found:016x}"


def load(path, run):
    """The checkpoint in a file, ready for further training; None if there is no file, or one of another run.

    path : file name.  run : str.  Raises ValueError if the file is not a checkpoint."""
    if not os.path.exists(path):
        return None
    found = modelfile.load(path, expected=Checkpoint, verify=True)
    return found._replace(model=_own(found.model), state=_own(found.state)) if found.run == run else None


def keeper(path, run, seconds):
    """Function (epochs, model, state) that keeps a training in a file, unless it did so, or was made, less than `seconds` ago. The file is
    replaced as a whole.

    path : file name.  run : str.  seconds : float, at least 0."""
    last = time.monotonic()

    def keep(epochs, model, state):
        nonlocal last
        if time.monotonic() - last >= seconds:
            modelfile.save(path, Checkpoint(run, epochs, model, state))
            last = time.monotonic()
    return keep


def _own(state):
    """A loaded state with arrays of its own, which begin at cache lines as in a fresh one, in place of mapped ones."""
    if isinstance(state, tuple) and hasattr(state, "_fields"):
        return state._make(map(_own, state))
    if not isinstance(state, np.ndarray):
        return state
    own = _memory.empty(state.shape) if state.dtype == np.float32 else np.empty_like(state)
    own[...] = state
    return own


modelfile.register(Checkpoint, run=str, epochs=int)
