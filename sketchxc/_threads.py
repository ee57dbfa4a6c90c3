"""How many threads run the parallel kernels of a block; their results are the same bits for any number."""
import contextlib

import numba


def available():
    """Number of threads that parallel kernels use now."""
    return numba.get_num_threads()


@contextlib.contextmanager
def one_if(small):
    """Run the parallel kernels of the block on the calling thread alone if `small`.

    Waking a second thread costs microseconds on a free machine, and milliseconds on a busy one."""
    with limited(1 if small else None):
        yield


@contextlib.contextmanager
def limited(threads):
    """Run the parallel kernels of the block on `threads` threads, or on all if there are fewer; None leaves the number as it is."""
    before = numba.get_num_threads()
    wanted = before if threads is None else min(threads, numba.config.NUMBA_NUM_THREADS)
    if wanted == before:
        yield
        return
    numba.set_num_threads(wanted)
    try:
        yield
    finally:
        numba.set_num_threads(before)
