"""Host or device: where the arrays of a call are, whose kernels run there, and the moves between the two.

An array is on the device if it has `__cuda_array_interface__` (CuPy, torch, Numba) or, in Numba's simulator, `copy_to_host`.
"""
import contextlib
import functools
import importlib

import numpy as np


class DeviceError(RuntimeError):
    """No device can be used, or it failed; the message says what to do."""


def on_device(value):
    """Whether an object is an array on the device."""
    return type(value) is not np.ndarray and (hasattr(value, "__cuda_array_interface__") or hasattr(value, "copy_to_host"))


def kernels(module, **arrays):
    """The loops `module` of the CPU if all arrays are on the host, the module of the same name for the device if they are there.

    arrays : by the names the caller knows them by; None is skipped.  Raises TypeError for arrays of both places.
    """
    for value in arrays.values():
        if type(value) is not np.ndarray and on_device(value):
            break
    else:
        return module
    there = [name for name, value in arrays.items() if on_device(value)]
    here = [name for name, value in arrays.items() if value is not None and name not in there]
    if here:
        raise TypeError(f"{there[0]} is on the device and {here[0]} on the host: move one of them with sketchxc.to_device or "
                        "sketchxc.to_host, all arrays of a call must be in one place")
    target()
    name = module.__name__.replace("._cpu.", "._cuda.")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise TypeError(f"{there[0]} must be on the host here: move it with sketchxc.to_host, nothing of "
                        f"{name.rpartition('.')[2]} runs on a device") from None


@functools.cache
def target():
    """The module `_cuda._target`, whose import loads numba-cuda.  Raises DeviceError, with what to do, where no device can be used."""
    try:
        found = importlib.import_module("sketchxc._cuda._target")
    except ImportError as error:
        raise DeviceError(f"arrays on a device need numba-cuda: pip install 'sketchxc[cuda]' ({error})") from error
    wrong = found.problem()
    if wrong:
        raise DeviceError(f"{wrong}; arrays on the host need no device")
    return found


def empty(shape, dtype, like):
    """Array whose contents are not set, in the place of `like`."""
    return target().empty(shape, dtype) if on_device(like) else np.empty(shape, dtype)


def zeros(shape, dtype, like):
    """Array of zeros, in the place of `like`."""
    return target().zeros(shape, dtype) if on_device(like) else np.zeros(shape, dtype)


def converted(found, dtype):
    """C-contiguous array on the device as one of `dtype` there: the same memory, or a converted copy."""
    if found.dtype == dtype:
        return found
    if {found.dtype, np.dtype(dtype)} == {_INT64, _UINT64}:
        return found.view(dtype)
    # Through signed integers, so that -1 becomes 2**64 - 1.
    return copied(found, _INT64).view(dtype) if dtype == np.uint64 else copied(found, dtype)


def copied(value, dtype):
    """Copy of an array in another `dtype`, in its place; C-contiguous."""
    if not on_device(value):
        return value.astype(dtype)
    out = target().empty(value.shape, dtype)
    target().cast(value.reshape(value.size), out.reshape(out.size))
    return out


def anywhere(function):
    """A function of NumPy's kind that also takes arrays on a device, all of a call's, and then gives its results there."""
    @functools.wraps(function)
    def run(*arguments, **options):
        state = arguments, tuple(options.values())
        found = _arrays(state, steps=False)
        there = [array for array in found if on_device(array)]
        if not there:
            return function(*arguments, **options)
        if len(there) < len(found):
            raise TypeError(f"all arrays of {function.__name__} must be in one place: move them with sketchxc.to_device or to_host")
        found = target()
        if all(type(array) is found.array_type() for array in there):  # CuPy's own: a call from within a function
            return function(*arguments, **options)
        arguments, values = _moved(state, found.numpy_like, on_device, {})
        return _moved(function(*arguments, **dict(zip(options, values))), found.from_numpy_like, found.is_numpy_like, {})
    return run


def assign(out, value):
    """Set the items of `out` to a number or to those of an array of its shape, in their place."""
    if not on_device(out):
        out[...] = value
    elif on_device(value):
        target().cast(value.reshape(value.size), out.reshape(out.size))
    else:
        target().fill(out, value)


def beside(value, like):
    """An array of the host as it is, or its copy on the device if `like` is there."""
    return target().upload(value) if on_device(like) and not on_device(value) else value


def free(like):
    """Bytes of memory that are free where `like` is, if that is a device and no simulator, otherwise None."""
    return target().free_bytes() if on_device(like) else None


def room(wanted, name):
    """MemoryError, before anything is allocated, unless the device has that many bytes free."""
    found = target().free_bytes()
    if found is not None and wanted > found:
        raise MemoryError(f"{name} must fit the device: it needs {wanted} bytes, of which {found} are free")


def to_device(state):
    """The state with all its arrays copied to the device, ready for the same functions there.

    state : any state of this package, a NumPy array, or a tuple of them; arrays that are on the device already stay, those of CuPy, torch
        and others with `__cuda_array_interface__` as views of their memory, which they share from then on; so do numbers
        and what only the host reads: the `steps` of an optimizer's state, the encoder and the label names of a classifier.

    Returns the same kind of state.

    Raises MemoryError, before anything is copied, if the device's free memory is too small, DeviceError where no device can be used,
    TypeError for arrays that no device holds (texts, objects).
    """
    found = target()
    here = [array for array in _arrays(state) if not on_device(array)]
    for array in here:
        if array.dtype.kind not in "biuf":
            raise TypeError(f"state must hold numbers to go to a device, not {array.dtype}")
    room(sum(array.nbytes for array in here), "state")
    return _moved(state, lambda array: found.array(array) if on_device(array) else found.upload(array),
                  lambda value: isinstance(value, np.ndarray) or on_device(value), {})


def to_host(state):
    """The state with all its arrays copied to the host; those that are there already stay.

    state : any state of this package, an array, or a tuple of them.

    Returns the same kind of state, of NumPy arrays.
    """
    return _moved(state, lambda array: target().download(array), on_device, {})


def refill(state, other):
    """Copy the arrays of `other`, on a device, into those of `state`, the same on the host."""
    for own, found in zip(_arrays(state), _arrays(other), strict=True):
        if own is not found:
            own[...] = to_host(found)


@contextlib.contextmanager
def guarded(name):
    """DeviceError in place of what the driver and its libraries raise in the block, a training for example, called `name`."""
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("numba", "numba_cuda", "cuda", "cupy", "cupy_backends"):
            raise
        raise DeviceError(f"{name} failed on the device ({type(error).__name__}: {error}): see `nvidia-smi`, then run it again; it goes on "
                          "from the last checkpoint where it keeps them") from error


@contextlib.contextmanager
def training(state, device):
    """For device "cpu" the state itself; for "cuda" a copy on the device, whose arrays are copied into the state's after the block."""
    if device == "cpu":
        yield state
        return
    own = to_device(state)
    with guarded("training"):
        yield own
        refill(state, own)


def _arrays(state, steps=True):
    """All arrays of a state; with `steps` also those of that name, which are always on the host."""
    if isinstance(state, tuple):
        named = zip(getattr(state, "_fields", [None] * len(state)), state)
        return [array for name, part in named if steps or name != "steps" for array in _arrays(part, steps)]
    return [state] if isinstance(state, np.ndarray) or on_device(state) else []


def _moved(state, move, wanted, done):
    """A copy of a state in which all arrays that are `wanted` are moved; one array in two fields stays one array."""
    if isinstance(state, tuple):
        named = hasattr(state, "_fields")
        parts = [part.copy() if name == "steps" else part if name in _HOST_ONLY else _moved(part, move, wanted, done)
                 for name, part in zip(state._fields if named else [None] * len(state), state)]
        return type(state)(*parts) if named else tuple(parts)
    if not wanted(state):
        return state
    if id(state) not in done:
        done[id(state)] = move(state)
    return done[id(state)]


_HOST_ONLY = ("encoder", "names", "name_offsets")  # fields that only the host reads: texts become rows there, numbers names
_INT64, _UINT64 = np.dtype(np.int64), np.dtype(np.uint64)
