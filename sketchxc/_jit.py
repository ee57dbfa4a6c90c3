"""The only place where compile options are chosen: decorators for the three kinds of compiled function, and the compiled cache.

`scalar` is one item in, one item out; `serial` a loop that one thread runs (and that other loops or Python threads may call at the same
time); `loop` a loop whose `prange` gives every owner of an output to one thread.
"""
import ctypes
import hashlib
import os
import pathlib

import numba

AS_PYTHON = bool(numba.config.DISABLE_JIT)  # kernels are Python functions then
# NaN-safe relaxations only: no reassociation, so the order of every sum stays the written one and is the same for any thread count.
VECTOR = {"contract", "arcp", "nsz", "afn"}
_compiled = []


def _decorate(function, fastmath=False, nogil=True, **options):
    # Always said, because a function without an opinion takes the flags of the first caller that compiles it: `reassoc` from there takes
    # the rounding out of exp32, whose results then are off by up to 40 %.
    compiled = numba.njit(error_model="numpy", nogil=nogil, fastmath=fastmath, **options)(function)
    _compiled.append(compiled)
    return compiled


def scalar(function):
    """Compile a function of the scalar layer: numbers in, numbers out."""
    return _decorate(function)


def serial(function):
    """Compile a loop that runs on the calling thread."""
    return _decorate(function)


def inlined(function):
    """Compile a part of a `serial_vector` loop that becomes part of its caller's code, so that lanes stay in registers."""
    return _decorate(function, fastmath=VECTOR, forceinline=True)


def serial_held(function):
    """Compile a `serial` loop that calls Python's C functions, and therefore keeps the interpreter's lock."""
    return _decorate(function, nogil=False)


def c_function(name, result, *arguments):
    """A C function of this process for compiled loops, by its name (an address would keep a loop from being cached).

    result, arguments : names of types, "uintp", "intp" or "void". With the JIT switched off Python calls it, and raises what it leaves.
    """
    if not AS_PYTHON:
        found = [getattr(numba.types, kind) for kind in (result, *arguments)]
        return numba.types.ExternalFunction(name, found[0](*found[1:]))
    kinds = {"uintp": ctypes.c_size_t, "intp": ctypes.c_ssize_t, "void": None}
    return ctypes.PYFUNCTYPE(*[kinds[kind] for kind in (result, *arguments)])((name, ctypes.pythonapi))


def serial_vector(function):
    """Compile a `serial` loop of float arithmetic with fused multiply-add and the approximate functions allowed."""
    return _decorate(function, fastmath=VECTOR)


def serial_fast(function):
    """Compile a `serial_vector` loop whose sums one thread owns whole, so that LLVM may add them in any fixed order."""
    return _decorate(function, fastmath=VECTOR | {"reassoc"})


def loop(function):
    """Compile a loop that is parallel over the owners of its output."""
    return _decorate(function, parallel=True)


def loop_vector(function):
    """Compile a `loop` of float arithmetic with fused multiply-add and the approximate functions allowed."""
    return _decorate(function, parallel=True, fastmath=VECTOR)


def enable_cache(folder=None):
    """Keep compiled kernels on disk from now on: in `folder`, or in the user's cache folder.

    Numba notices an edit of the file that holds a kernel but not of a helper that the kernel calls (numba#1833), so the folder is named
    by a digest of every source file of the package and of Numba's version: a change anywhere starts a new folder.
    """
    if AS_PYTHON:
        return None
    place = os.path.join(cache_folder(folder), source_digest())
    try:
        os.makedirs(place, exist_ok=True)
    except OSError:  # a read-only home: compile anew, as without a cache
        return None
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, place
    try:
        for function in _compiled:
            function.enable_caching()
    finally:
        numba.config.CACHE_DIR = before
    return place


def cache_folder(folder=None):
    """`folder`, or the package's folder in the user's cache folder, which may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return folder or os.path.join(base, "sketchxc")


def source_digest():
    """Hexadecimal digest of every source file of the package and of Numba's version."""
    package = pathlib.Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(package.rglob("*.py")):
        digest.update(source.relative_to(package).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]
