"""Hypothesis profile: no deadline (first calls compile), the same examples in every run, small arrays where kernels run as Python."""
import os

from hypothesis import HealthCheck, settings

EXAMPLES = 25 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 100
settings.register_profile("sketchxc", deadline=None, derandomize=True, max_examples=EXAMPLES,
                          suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
settings.load_profile("sketchxc")
