"""What the cases of bench_cuda.py share: sizes, poisoned arrays, times by events on the device, and its copy bandwidth.

A case is a tuple (name, check, measure, bar):
check(rng, small) : raises AssertionError if a result is wrong; fresh inputs from the NumPy generator, odd sizes, outputs poisoned before.
measure(small) : returns (value, unit, note) and perhaps the launches of one step; `small` takes sizes for the simulator, whose numbers
    mean nothing.
bar : None, or (">=" or "<=", number, text) that `value` is held against.
"""
import functools
import time

import numpy as np
from numba import config, cuda

from sketchxc import to_device

SIMULATED = bool(config.ENABLE_CUDASIM)


def poisoned(shape, dtype):
    """Array on the device full of what no result is: NaN, or the smallest integer (the largest unsigned one)."""
    dtype = np.dtype(dtype)
    bad = np.nan if dtype.kind == "f" else np.iinfo(dtype).max if dtype.kind == "u" else np.iinfo(dtype).min
    return to_device(np.full(shape, bad, dtype))


def seconds(call, rounds=9, warm=2):
    """Median seconds of a call on the device, between two events, after warm-up calls that also compile."""
    if SIMULATED:  # it has no events
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    for _ in range(warm):
        call()
    cuda.synchronize()
    found = []
    for _ in range(rounds):
        first, last = cuda.event(timing=True), cuda.event(timing=True)
        first.record()
        call()
        last.record()
        last.synchronize()
        found.append(cuda.event_elapsed_time(first, last) / 1000)
    return float(np.median(found))


def launches(call):
    """Kernels of ours and dense products that a call puts on the stream; sorts and sums of CuPy are not counted."""
    from sketchxc._cuda import _target
    count, before = [0], (_target.launch, _target.matmul)

    def counted(function):
        def run(*arguments, **options):
            count[0] += 1
            return function(*arguments, **options)
        return run
    _target.launch, _target.matmul = map(counted, before)
    try:
        call()
    finally:
        _target.launch, _target.matmul = before
    return count[0]


@functools.cache
def copy_bandwidth(small=False):
    """Bytes read plus bytes written in a second by a copy of 2 GiB within the device, far beyond its cache."""
    n = 2**10 if small else 2**31
    a, b = (cuda.device_array(n, np.uint8) for _ in range(2))
    return 2 * n / seconds(lambda: b.copy_to_device(a))


def device_line():
    """One line: device, memory, architecture, driver and versions."""
    import numba
    if SIMULATED:
        return f"Numba's simulator (numba {numba.__version__}): its times mean nothing"
    try:
        from numba_cuda import __version__ as version
    except ImportError:
        version = "of numba"
    device, memory = cuda.get_current_device(), cuda.current_context().get_memory_info()
    name = device.name.decode() if isinstance(device.name, bytes) else device.name
    capability, runtime = (".".join(map(str, pair)) for pair in (device.compute_capability, cuda.runtime.get_version()))
    return (f"{name}, {memory.total / 2**30:.0f} GiB ({memory.free / 2**30:.0f} free), sm {capability}, CUDA {runtime}, "
            f"numba {numba.__version__}, numba-cuda {version}, numpy {np.__version__}")
