"""Hypothesis profile: no deadline (first calls compile), the same examples in every run, small arrays where kernels run as Python."""
import os

import pytest
from hypothesis import HealthCheck, settings

AS_PYTHON = os.environ.get("NUMBA_DISABLE_JIT") == "1"
EXAMPLES = 25 if AS_PYTHON else 100
settings.register_profile("sketchxc", deadline=None, derandomize=True, max_examples=EXAMPLES,
                          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.load_profile("sketchxc")


def pytest_collection_modifyitems(items):
    """NumPy warns where uint64 scalars wrap, as hashes must; a mark, because filters of setup.cfg would yield to `-W error`."""
    if AS_PYTHON:
        for item in items:
            item.add_marker(pytest.mark.filterwarnings("ignore:overflow encountered in scalar:RuntimeWarning"))
