"""Kernels on a GPU: first every twin and every case is checked on fresh random inputs, then each case is timed by events; one table.

    python benchmarks/bench_cuda.py --all          # everything, in 8 minutes on one H200
    python benchmarks/bench_cuda.py --only hashing # cases whose name holds the word
    python benchmarks/bench_cuda.py --smoke        # what is missing here; in Numba's simulator (NUMBA_ENABLE_CUDASIM=1
                                                   # NUMBA_DISABLE_JIT=1) every case in small

Exit status 1 where a check fails, 2 where there is no GPU; a bar that is missed is told in the table.
"""
import argparse
import importlib
import pathlib
import sys
import time
import traceback

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
PARTS = ("_cuda_cases_hash", "_cuda_cases_train")


def missing():
    """None, or why nothing can run here."""
    from sketchxc import _place
    try:
        _place.target()
    except RuntimeError as error:
        return str(error)
    return None


def cases():
    found = []
    for name in PARTS:
        if (HERE / f"{name}.py").exists():
            found += importlib.import_module(name).CASES
    return found


def check_twins(seed):
    """Every case of tests/twins on the device beside the CPU; the number of cases."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from sketchxc import to_device, to_host
    from twins import columns
    count = 0
    for name, module in columns().items():
        cpu, cuda = (importlib.import_module(f"sketchxc.{layer}.{name}") for layer in ("_cpu", "_cuda"))
        for case in module.CASES:
            host, there = (case.arguments(np.random.default_rng(seed)) for _ in range(2))
            there = to_device(there)
            if case.reference and case.function == "add_conservative":
                continue  # its reference takes batches of the tests' size; a case of its own checks it here
            wanted = (case.reference or getattr(cpu, case.function))(*host)
            found = getattr(cuda, case.function)(*there)
            for i, (a, b) in enumerate(zip((*host, wanted), (*to_host(there), to_host(found)))):
                label = f"{name}.{case.function}, {f'argument {i}' if i < len(host) else 'result'}"
                if isinstance(a, np.ndarray) and a.dtype.kind == "f":
                    np.testing.assert_allclose(b, a, rtol=max(case.rtol, 1e-5), atol=max(case.atol, 1e-6), err_msg=label)
                else:
                    np.testing.assert_array_equal(b, a, err_msg=label)
            count += 1
    return count


def verdict(value, bar, small):
    if bar is None or small:
        return ""
    reached = value >= bar[1] if bar[0] == ">=" else value <= bar[1]
    return f"{'reached' if reached else 'MISSED'}: {bar[0]} {bar[2]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every case")
    parser.add_argument("--only", help="cases whose name holds this")
    parser.add_argument("--smoke", action="store_true", help="say what is missing; in the simulator run every case in small")
    parser.add_argument("--seed", type=int, help="of the inputs of the checks; a new one in each run by default")
    parser.add_argument("--limit", type=float, default=480, help="seconds after which no further case is started")
    arguments = parser.parse_args()
    if not (arguments.all or arguments.only or arguments.smoke):
        parser.error("one of --all, --only, --smoke is needed")
    wrong = missing()
    if wrong:
        print(f"not run: {wrong}")
        print("cases: " + "; ".join(line.strip() for part in PARTS for line in names(part)))
        return 0 if arguments.smoke else 2
    from _cuda_timing import SIMULATED, device_line
    if arguments.smoke and not SIMULATED:
        print(f"ready: {device_line()}; --all runs {len(cases())} cases")
        return 0
    if SIMULATED:
        shrink()
    return run(arguments, SIMULATED, device_line())


def shrink():
    """Small blocks and grids, because the simulator starts a thread of Python for each of theirs."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from sketchxc._cuda import _target
    from twins import columns
    _target.THREADS, _target.BLOCKS = 4, 3
    np.seterr(over="ignore")  # hashes wrap, of which NumPy warns where kernels run as Python
    for name, module in columns().items():
        vars(importlib.import_module(f"sketchxc._cuda.{name}")).update(getattr(module, "SMALL", {}))


def names(part):
    """Names of the cases of a part, from its text: without a driver it may not be imported."""
    path = HERE / f"{part}.py"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [line.split('"')[1] for line in text[text.find("\nCASES = ["):].splitlines() if line.startswith('    ("')]


def run(arguments, small, line):
    start = time.perf_counter()
    seed = arguments.seed if arguments.seed is not None else time.time_ns() % 2**32
    print(f"{line}\nseed of the checks {seed}")
    failed = 0
    if not arguments.only and not small:  # tests/test_twins.py is for the simulator
        try:
            print(f"twins: {check_twins(seed)} cases agree with the CPU ({time.perf_counter() - start:.0f} s)", flush=True)
        except AssertionError:
            traceback.print_exc()
            failed += 1
    print(f"{'case':34}{'value':>12} {'unit':12}{'bar':44}{'launches':>9}{'s':>5}  note   (launches of one step)")
    for name, check, measure, bar in cases():
        if arguments.only and arguments.only not in name:
            continue
        since = time.perf_counter()
        if since - start > arguments.limit:
            print(f"{name:34}not run: {arguments.limit:.0f} s are over")
            failed += 1
            continue
        try:
            check(np.random.default_rng(seed), small)
            value, unit, note, *steps = measure(small)
        except Exception:  # one broken case must not hide the others
            traceback.print_exc()
            print(f"{name:34}FAILED", flush=True)
            failed += 1
            continue
        print(f"{name:34}{value:12.4g} {unit:12}{verdict(value, bar, small):44}{steps[0] if steps else '':>9}"
              f"{time.perf_counter() - since:5.0f}  {note}", flush=True)
    print(f"{time.perf_counter() - start:.0f} s, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
