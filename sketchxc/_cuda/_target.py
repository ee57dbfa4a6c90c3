"""The one file that names numba-cuda and CuPy: scalars compiled for the device, launches, memory, copies, dense products.

With NUMBA_ENABLE_CUDASIM=1 in the environment everything here runs in Numba's simulator, on the host and without a driver.
"""
import contextlib
import functools
import importlib.util
import sys
import types

import numpy as np
from numba import config, cuda

THREADS = 256  # threads of a block; tests take 4, so that small inputs cross blocks
BLOCKS = 2**16 - 1  # blocks on an axis of the grid at most; kernels go on in strides of the grid

SIMULATED = bool(config.ENABLE_CUDASIM)


@functools.cache
def on_device(module):
    """The functions of a module of the scalar layer, each compiled for the device, and its constants, as attributes.

    Copies, whose globals hold the compiled copies of the scalars they call: a kernel cannot call the CPU's functions in the simulator.
    """
    package = module.__name__.rpartition(".")[0]
    space = dict(vars(module))
    for name, value in vars(module).items():
        function = getattr(value, "py_func", value)
        if not isinstance(function, types.FunctionType) or not function.__module__.startswith(package):
            continue
        if function.__module__ != module.__name__:
            space[name] = getattr(on_device(sys.modules[function.__module__]), function.__name__)
            continue
        copy = types.FunctionType(function.__code__, space, function.__name__, function.__defaults__)
        copy.__module__ = function.__module__
        space[name] = device(copy)
    return types.SimpleNamespace(**{name: value for name, value in space.items() if not name.startswith("__")})


def device(function):
    """Compile a function that kernels call."""
    return cuda.jit(device=True)(function)


def kernel(size, **options):
    """Compile a grid of threads and make it a plain function of the arguments of its CPU twin.

    size : function of the same arguments, how many threads are wanted: n, or (n, rows) or (n, rows, more) for a grid with y and z axes, of
        which a block covers more than one row where n is small. The kernel strides by `cuda.gridsize`; nothing is launched for a 0.
    options : of `cuda.jit`, for example fastmath=True.
    """
    def decorate(function):
        compiled = cuda.jit(**options)(function)

        @functools.wraps(function)
        def start(*arguments):
            wanted = size(*arguments)
            wanted = wanted if isinstance(wanted, tuple) else (wanted,)
            block = [min(THREADS, 1 << (max(int(wanted[0]), 1) - 1).bit_length())]
            if len(wanted) > 1:
                block.append(min(THREADS // block[0], 1 << (max(int(wanted[1]), 1) - 1).bit_length()))
            block += [1] * (len(wanted) - len(block))
            grid = tuple(min(-(-int(n) // threads), BLOCKS) for n, threads in zip(wanted, block))
            if min(grid):
                launch(compiled, grid, (THREADS,) if len(wanted) == 1 else tuple(block), 0, arguments)
        start.compiled = compiled
        return start
    return decorate


def block_kernel(count, shared=None, threads=None, **options):
    """Compile a grid of which a block owns each item: `cuda.blockIdx` is the item, `cuda.blockDim.x` the threads that share its work.

    count : function of the arguments, how many blocks: n, or (n, rows). x axes beyond `BLOCKS` are for the kernel to stride by
        `cuda.gridDim.x`.  shared : None, or function of the arguments: bytes of dynamic shared memory.
    threads : None for `THREADS`, or function of the arguments.  options : of `cuda.jit`.
    """
    def decorate(function):
        compiled = cuda.jit(**options)(function)

        @functools.wraps(function)
        def start(*arguments):
            wanted = count(*arguments)
            grid = tuple(min(int(n), BLOCKS) for n in (wanted if isinstance(wanted, tuple) else (wanted,)))
            if min(grid):
                launch(compiled, grid, (threads(*arguments) if threads else THREADS,), shared(*arguments) if shared else 0, arguments)
        start.compiled = compiled
        return start
    return decorate


def launch(compiled, grid, block, shared, arguments):
    """Put one kernel on the default stream; every launch of the package goes through here."""
    compiled[grid, block, 0, shared](*arguments)


def empty(shape, dtype):
    """Array on the device, whose contents are not set."""
    return cuda.device_array(shape, dtype)


def zeros(shape, dtype):
    """Array of zeros on the device."""
    return full(shape, 0, dtype)


def full(shape, value, dtype):
    """Array of one value on the device."""
    out = empty(shape, dtype)
    fill(out, value)
    return out


def fill(out, value):
    """Set every item of an array on the device."""
    _fill(out.reshape(out.size), np.dtype(out.dtype).type(value))


@kernel(lambda out, value: out.size)
def _fill(out, value):
    """One thread owns each item."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = value


@kernel(lambda source, out: out.size)
def cast(source, out):
    """Items of another dtype; one thread owns each."""
    for i in range(cuda.grid(1), out.size, cuda.gridsize(1)):
        out[i] = source[i]


def array(value):
    """Numba's view of anything on the device, without a copy."""
    return value if hasattr(value, "copy_to_host") else cuda.as_cuda_array(value)


def upload(value):
    """Copy of a host array on the device."""
    return cuda.to_device(np.ascontiguousarray(value)) if value.size else empty(value.shape, value.dtype)


def download(value):
    """Copy of a device array on the host."""
    return array(value).copy_to_host() if value.size else np.empty(tuple(value.shape), value.dtype)


def copied_beside(arrays, room):
    """Copies of vectors of the host on the device, through pinned memory and on a stream beside that of the kernels; they are there when it
    returns, and hold until the next call with the same `room`, a dictionary, empty at first, of the memory that is used again."""
    stream = copy_stream()[0]
    out = []
    for i, value in enumerate(arrays):
        if value.size == 0:
            out.append(empty(0, value.dtype))
            continue
        if i not in room or room[i][0].size < value.size:
            cuda.synchronize()  # new memory may be what kernels under way still use, if it comes from a pool
            size = value.size + value.size // 4
            room[i] = cuda.pinned_array(size, value.dtype), empty(size, value.dtype)
        pinned, there = (own[:value.size] for own in room[i])
        pinned[...] = value
        there.copy_to_device(pinned, stream=stream)
        out.append(there)
    stream.synchronize()
    return out


@functools.cache
def copy_stream():
    """(stream, what owns it) that waits for no other; those that Numba makes wait for the default stream, where the kernels are."""
    if SIMULATED:
        return cuda.stream(), None
    import cupy
    own = cupy.cuda.Stream(non_blocking=True)
    return cuda.external_stream(own.ptr), own


def event():
    """A mark on the default stream, once it is recorded, that the host can wait for."""
    return cuda.event(timing=False) if not SIMULATED else cuda.event()


@contextlib.contextmanager
def freeing_later():
    """Memory is given back after the block, because that waits for all kernels."""
    with cuda.defer_cleanup():
        yield
    if not SIMULATED:
        cuda.current_context().memory_manager.deallocations.clear()


def free_bytes():
    """Bytes of the device's memory that are free, None in the simulator."""
    return None if SIMULATED else int(cuda.current_context().get_memory_info().free)


def problem():
    """None, or why nothing can run on a device here."""
    if SIMULATED:
        return None
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed: pip install 'sketchxc[cuda]'"
    try:
        if cuda.is_available():
            return _without_tools()
        reason = cuda.cuda_error()
    except Exception as error:  # whatever a broken driver raises
        reason = error
    reason = " ".join(str(reason or "the driver lists none").split())
    return f"no CUDA device can be used: {reason} `nvidia-smi` must list one, with a driver of the toolkit's version (580 for CUDA 13)"


def _without_tools():
    """None, or which part of the toolkit is missing, of which otherwise the first kernel or product would tell, in its own words."""
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed, which multiplies and sorts: pip install 'sketchxc[cuda]'"
    try:
        importlib.import_module("numba.cuda.cudadrv.nvvm").NVVM()
    except Exception as error:  # whatever a broken installation raises
        return f"the CUDA toolkit's compiler cannot be loaded: pip install 'sketchxc[cuda]' ({' '.join(str(error).split())})"
    return None


def matmul(a, b, out, *, a_turned=False, b_turned=False):
    """Dense product of float32 matrices (or stacks of them) into `out`, by cuBLAS in full float32; on copies in the simulator.

    a_turned, b_turned : take the matrix transposed. With CUPY_TF32=1 in the environment products round their inputs to 11 bits (relative
    error of a term 2**-11) and are several times faster."""
    view, product = _numpy, np.matmul
    if not SIMULATED:
        import cupy
        view, product = cupy.asarray, cupy.matmul
    a, b = view(a), view(b)
    a, b = a.swapaxes(-1, -2) if a_turned else a, b.swapaxes(-1, -2) if b_turned else b
    found = product(a, b, **({} if SIMULATED else {"out": view(out)}))
    if SIMULATED:
        out.copy_to_device(np.ascontiguousarray(found))


def argsort(keys):
    """Order of a vector's items, ascending, equal ones in their order: int64 (n,), by CuPy's radix sort; on copies in the simulator."""
    if SIMULATED:
        return upload(np.argsort(_numpy(keys), kind="stable"))
    import cupy
    return array(cupy.argsort(cupy.asarray(keys)))  # CuPy's is stable without being asked


def cumsum(values):
    """Running sums of a vector of int64, in place."""
    if SIMULATED:
        values.copy_to_device(np.cumsum(_numpy(values)))
        return
    import cupy
    cupy.cumsum(cupy.asarray(values), out=cupy.asarray(values))


def numpy_like(value):
    """View of an array on the device that NumPy's functions take: CuPy's; a copy on the host in the simulator."""
    if SIMULATED:
        return _numpy(value)
    import cupy
    return cupy.asarray(value)


def array_type():
    """Type of what `numpy_like` gives, None in the simulator."""
    if SIMULATED:
        return None
    import cupy
    return cupy.ndarray


def is_numpy_like(value):
    """Whether a function of NumPy's kind that got `numpy_like` arrays has made this array."""
    return isinstance(value, np.ndarray if SIMULATED else array_type())


def from_numpy_like(value):
    """The same array as the rest of the package takes it."""
    return upload(value) if SIMULATED else array(value)


def _numpy(value):
    return value.copy_to_host() if hasattr(value, "copy_to_host") else np.asarray(value)
