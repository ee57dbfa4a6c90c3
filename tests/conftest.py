"""Hypothesis profile: no deadline (first calls compile), the same examples in every run, small arrays where kernels run as Python."""
import os

import numba
import pytest
from hypothesis import HealthCheck, settings

AS_PYTHON = os.environ.get("NUMBA_DISABLE_JIT") == "1"
EXAMPLES = 25 if AS_PYTHON else 100
settings.register_profile("sketchxc", deadline=None, derandomize=True, max_examples=EXAMPLES,
                          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.load_profile("sketchxc")


@pytest.fixture(scope="module")
def one_thread():
    """For files of hundreds of tiny examples: waking a second thread for each costs more than all of them."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.fixture(scope="module")
def put(tmp_path_factory):
    """Function that writes a file and returns its name."""
    folder = tmp_path_factory.mktemp("files")

    def write(content, name="data.txt"):
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path
    return write


def pytest_collection_modifyitems(items):
    """NumPy warns where uint64 scalars wrap, as hashes must; a mark, because filters of setup.cfg would yield to `-W error`."""
    if AS_PYTHON:
        for item in items:
            item.add_marker(pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning"))
