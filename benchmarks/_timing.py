"""What every benchmark shares: a line about the machine, and interleaved rounds whose medians are compared."""
import importlib.metadata
import os
import platform
import time

import numpy as np


def machine():
    """One line: processor, cores, memory, versions."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), model)
    except OSError:
        pass
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else float("nan")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "numba", "scipy"))
    return f"{model}, {os.cpu_count()} cores, {gigabytes:.0f} GiB, Python {platform.python_version()}, {versions}"


def interleaved(tasks, rounds=5):
    """Seconds of every task, one run of each after the other, `rounds` times after a warm-up that compiles.

    tasks : dict name -> function without arguments.  Returns dict name -> float64 (rounds,)."""
    for task in tasks.values():
        task()
    seconds = {name: np.empty(rounds) for name in tasks}
    for i in range(rounds):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            seconds[name][i] = time.perf_counter() - start
    return seconds


def spread(values):
    """Median with the range of the rounds, as text."""
    return f"{np.median(values):.4g} ({values.min():.4g} to {values.max():.4g})"
