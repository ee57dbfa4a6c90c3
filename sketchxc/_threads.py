"""How many threads run the parallel kernels of a block, and Python threads for serial ones; results are the same bits for any number."""
import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor

import numba


def available():
    """Number of threads that parallel kernels use now."""
    return numba.get_num_threads()


def one_if(small):
    """Run the parallel kernels of the block on the calling thread alone if `small`.

    Waking a second thread costs microseconds on a free machine, and milliseconds on a busy one. So does this block, 3 microseconds: where
    calls are small and many, they have kernels of their own that know no threads."""
    return limited(1) if small else _ALL


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


def each(threads, work, tasks):
    """work(*task) of every task, in the order of the tasks, made at most two a thread ahead of the work."""
    with _blas().limit(limits=1, user_api="blas"):  # one thread a product: the bits of a product depend on their number
        if threads == 1:
            return [work(*task) for task in tasks]
        with ThreadPoolExecutor(threads) as pool:
            futures = []
            try:
                for task in tasks:
                    if len(futures) >= 2 * threads:
                        futures[-2 * threads].result()
                    futures.append(pool.submit(work, *task))
                return [future.result() for future in futures]
            finally:
                pool.shutdown(cancel_futures=True)


@functools.cache
def _blas():
    """Handle on the thread pools of the libraries that make products of matrices."""
    from threadpoolctl import ThreadpoolController
    return ThreadpoolController()


_ALL = contextlib.nullcontext()
