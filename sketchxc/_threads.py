"""One thread for small inputs: waking a second one costs microseconds on a free machine, and milliseconds on a busy one."""
import contextlib

import numba


@contextlib.contextmanager
def one_if(small):
    """Run the parallel kernels of the block on the calling thread alone if `small`; their results are the same bits."""
    before = numba.get_num_threads()
    if not small or before == 1:
        yield
        return
    numba.set_num_threads(1)
    try:
        yield
    finally:
        numba.set_num_threads(before)
