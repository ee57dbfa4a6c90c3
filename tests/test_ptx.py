"""CUDA kernels without a GPU: each one that a twin case launches compiles to PTX for every architecture.

Needs numba-cuda with its toolkit (`pip install "numba-cuda[cu13]" "numpy<2.5"`) and compiled kernels; no driver. With `-s` a table of
registers, shared memory and spills is printed if `ptxas` is installed (`pip install nvidia-cuda-nvcc`).
"""
import importlib
import importlib.util
import pathlib
import re
import shutil
import subprocess
import types

import numba
import numpy as np
import pytest

if numba.config.ENABLE_CUDASIM or numba.config.DISABLE_JIT:
    pytest.skip("needs the compiler, not the simulator", allow_module_level=True)
if importlib.util.find_spec("numba_cuda") is None:
    pytest.skip("needs numba-cuda: pip install 'numba-cuda[cu13]'", allow_module_level=True)

from numba import cuda
from numba.cuda import compiler, dispatcher
from numba.cuda.cudadrv import nvvm

from sketchxc._cuda import _target
from twins import columns

try:
    nvvm.NVVM()
except Exception as error:  # the package is there, its toolkit is not
    pytest.skip(f"needs the CUDA toolkit, pip install 'numba-cuda[cu13]': {error}", allow_module_level=True)

WANTED = ["7.0", "8.0", "9.0", "10.0"]
OLDEST = "7.5"  # stands for 7.0 where the toolkit is CUDA 13, which has dropped it
REMAINDERS = {"official_buckets"}  # a floor modulo by definition


def recorded(monkeypatch):
    """Name -> (kernel, types of its arguments) of all that the cases launch; host arrays stand for those on a device, nothing runs."""
    found = {}

    def record(compiled, grid, block, shared, arguments):
        kinds = tuple(numba.typeof(argument) for argument in arguments)
        function = compiled.py_func
        found.setdefault((function.__module__.rpartition(".")[2], function.__name__, kinds), compiled)
    monkeypatch.setattr(_target, "launch", record)
    monkeypatch.setattr(_target, "array", lambda value: value)
    monkeypatch.setattr(_target, "download", np.asarray)
    monkeypatch.setattr(_target, "upload", np.asarray)
    monkeypatch.setattr(cuda, "device_array", lambda shape, dtype: np.zeros(shape, dtype))
    monkeypatch.setattr(_target, "matmul", lambda a, b, out, **options: None)
    monkeypatch.setattr(_target, "argsort", lambda keys: np.argsort(keys, kind="stable"))
    monkeypatch.setattr(_target, "cumsum", lambda values: values.__setitem__(slice(None), np.arange(1, values.size + 1)))
    for name, module in columns().items():
        column = importlib.import_module(f"sketchxc._cuda.{name}")
        for case in module.CASES:
            getattr(column, case.function)(*case.arguments(np.random.default_rng(0)))
    _target.cast(np.zeros(3, np.int32), _target.full(3, 0, np.int64))
    return found


def front(monkeypatch, kernel, kinds, capability):
    """Library of one kernel before any PTX, typed once for all architectures, of which only NVVM's part differs.

    Kernels that call device functions ask for the device's architecture, and there is none."""
    pair = split(capability)
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: types.SimpleNamespace(compute_capability=pair))
    fastmath = bool(kernel.targetoptions.get("fastmath"))
    return compiler._compile_pyfunc_with_fixup(kernel.py_func, kinds, device=False, fastmath=fastmath, cc=pair, abi="numba")[0]


def split(capability):
    return tuple(map(int, capability.split(".")))


def test_every_kernel_compiles(monkeypatch, tmp_path):
    kernels = recorded(monkeypatch)
    started = {(name, function) for name in columns()
               for function, value in vars(importlib.import_module(f"sketchxc._cuda.{name}")).items()
               if hasattr(value, "compiled") and value.__module__.endswith(f".{name}")}
    assert started <= {key[:2] for key in kernels}, "a kernel that no case launches"
    oldest = WANTED[0] if supported(monkeypatch, WANTED[0], kernels) else OLDEST
    print(f"\nregisters, bytes of shared memory and of spills by {assembler() or '... no ptxas: pip install nvidia-cuda-nvcc'}")
    print("".join([f"{'kernel':40}", *(f"{'sm ' + capability:>18}" for capability in [oldest, *WANTED[1:]])]))
    for (column, name, kinds), kernel in kernels.items():
        cells, library = [], front(monkeypatch, kernel, kinds, oldest)
        for capability in [oldest, *WANTED[1:]]:
            ptx = library.get_asm_str(cc=split(capability))
            assert f".target sm_{capability.replace('.', '')}" in ptx
            wrong = forbidden(ptx, name in REMAINDERS, any("float64" in str(kind) for kind in kinds))
            assert not wrong, f"{column}.{name}: {wrong}"
            cells.append(usage(ptx, capability, tmp_path))
        print("".join([f"{column + '.' + name:40}", *(f"{cell:>18}" for cell in cells)]))


def forbidden(ptx, remainders, doubles):
    """What a kernel must not have: a division by accident, and float64 arithmetic (slow, and other bits) where all is float32."""
    if not remainders and re.search(r"\brem\.", ptx):
        return "rem."
    return ".f64" if not doubles and ".f64" in ptx else ""


def test_a_stray_constant_is_found(monkeypatch):
    """A Python float makes float64 of a float32 kernel, and % a division."""
    def kernel(out, n):
        out[0] = out[1] * 0.1
        out[2] = n % 7
    compiled = types.SimpleNamespace(py_func=kernel, targetoptions={})
    ptx = front(monkeypatch, compiled, (numba.float32[::1], numba.int64), "9.0").get_asm_str(cc=(9, 0))
    assert forbidden(ptx, True, False) == ".f64"
    assert forbidden("rem.s64", False, True) == "rem." and forbidden("rem.s64", True, True) == ""


def test_what_is_missing_is_told(monkeypatch):
    """No driver, no compiler, no CuPy: each with what to do, before anything is launched."""
    found = importlib.util.find_spec
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda, "cuda_error", lambda: "libcuda.so\n not found", raising=False)
    assert "no CUDA device can be used: libcuda.so not found `nvidia-smi` must list one" in _target.problem()
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found(name) if name != "cupy" else None)
    assert "CuPy is not installed" in _target.problem()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found("numpy"))
    assert _target.problem() is None

    def broken():
        raise OSError("libnvvm.so: cannot open")
    monkeypatch.setattr(nvvm, "NVVM", broken)
    assert "the CUDA toolkit's compiler cannot be loaded: pip install" in _target.problem() and "libnvvm.so" in _target.problem()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "numba-cuda is not installed" in _target.problem()


def supported(monkeypatch, capability, kernels):
    """Whether the toolkit still has an architecture."""
    (*_, kinds), kernel = next(iter(kernels.items()))
    try:
        return bool(front(monkeypatch, kernel, kinds, capability).get_asm_str(cc=split(capability)))
    except Exception as error:
        assert "not supported" in str(error)
        return False


def assembler():
    """Path of ptxas, or None; that of the installed toolkit first, because an older one does not read its PTX."""
    spec = importlib.util.find_spec("nvidia")
    places = [pathlib.Path(place) for place in spec.submodule_search_locations] if spec else []
    return next((str(found) for place in places for found in place.glob("*/bin/ptxas")), shutil.which("ptxas"))


def usage(ptx, capability, folder):
    """What ptxas says of registers, shared memory and spills."""
    if assembler() is None:
        return ""
    (folder / "kernel.ptx").write_text(ptx)
    command = [assembler(), "-v", f"-arch=sm_{capability.replace('.', '')}", "-o", str(folder / "kernel.cubin"), str(folder / "kernel.ptx")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "Unsupported .version" in said.stderr:
        return "ptxas too old"
    assert said.returncode == 0, said.stderr
    found = [re.findall(pattern, said.stderr) for pattern in (r"Used (\d+) registers", r"(\d+) bytes smem", r"(\d+) bytes spill stores")]
    return "/".join(numbers[-1] if numbers else "0" for numbers in found)
