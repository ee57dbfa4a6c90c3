"""Layers: who may import whom, read from the sources; what `import sketchxc` loads; lengths of files."""
import ast
import pathlib
import subprocess
import sys

import pytest

import sketchxc

HOME = pathlib.Path(sketchxc.__file__).parent
SOURCES = {path.relative_to(HOME).as_posix(): path.read_text(encoding="utf-8")
           for path in sorted(HOME.rglob("*.py")) if "__pycache__" not in path.parts}

# A public module imports only modules to its left, and the helpers.
ORDER = ["hashing", "families", "sketch", "rowsketch", "heavy", "turnstile", "modelfile", "sparse", "minhash", "sketchbytes", "density",
         "text", "count", "metrics", "thresholds", "calibration", "frame", "schedules", "optim", "sketchoptim", "dense", "embed", "heads",
         "lookup", "decode", "mach", "shallow", "growth", "partition", "linear", "packed", "crosses", "votes", "neighbours", "rerank",
         "pairs", "files", "sizing", "checkpoint", "fit", "recipe", "ranker", "sessions", "pipeline", "update", "estimators", "demo",
         "cli"]
# Files of the loops import only files to their left.
CPU_ORDER = ["vector", "hashing", "families", "heavy", "sketch", "sparse", "minhash", "density", "text", "count", "files", "batches",
             "lookup", "decode", "optim", "sketchoptim", "mach", "dense", "embed", "shallow", "partition", "packed", "crosses", "votes",
             "neighbours", "rerank", "pairs", "sessions"]
SCALARS = ["hashing", "families", "sketch", "files", "loss", "optim", "crosses", "minhash", "density", "embed", "dense", "pairs",
           "rerank", "neighbours", "sparse",
           "order", "packed"]
# Helpers, below all public modules: what of the package each may import.
HELPERS = {"_jit": set(), "_check": {"_place"}, "_disk": set(), "_threads": set(), "_memory": set(),
           "_strings": {"_check", "_place", "_cpu.hashing"},
           "_batches": {"_place", "_cpu.batches", "_cpu.sparse"}, "_chances": set(), "_sketches": {"_check", "_place", "_cpu.sketch"},
           "_net": {"_cpu.mach", "_cpu.optim", "_cpu.shallow", "_scalar.dense"},
           "_units": {"_memory"}, "_nets": {"_net", "_place", "_cpu.mach", "_cpu.shallow", "_scalar.dense"},
           "_there": {"_check", "_place", "_cpu.decode", "_cpu.embed", "_cpu.optim", "_cpu.rerank", "_cpu.sparse"},
           "_place": set()}  # by name, when an array on a device is seen: nothing of CUDA is imported before
# Loops and scalars that a public module uses besides those of its own name.
BORROWED = {"count": {"_cpu.hashing"}, "decode": {"_cpu.lookup"}, "partition": {"_cpu.decode"}, "shallow": {"_scalar.dense"},
            "dense": {"_scalar.dense"}, "growth": {"_scalar.dense"},
            "optim": {"_scalar.optim"}, "rowsketch": {"_cpu.sketch"}, "rerank": {"_cpu.packed"}}
# Packages beyond NumPy and the standard library: at the top of which files, and inside functions of which.
AT_TOP = {"numba": {"_jit", "_threads", "_cuda._target"}, "sklearn": {"estimators"}}
INSIDE = {"cupy": {"_cuda._target"}, "scipy": {"sparse"}, "pandas": {"frame"}, "safetensors": {"modelfile"}, "sklearn": {"estimators"},
          "tqdm": {"cli", "demo", "estimators"}, "numba": {"cli"}, "threadpoolctl": {"_threads"}}
HEAVY = ["pandas", "scipy.sparse", "safetensors", "sklearn", "tqdm", "threadpoolctl", "numba.cuda", "cupy"]


def is_module(name, sources):
    place = name.replace(".", "/")
    return f"{place}.py" in sources or f"{place}/__init__.py" in sources


def imports(path, sources):
    """(at the top?, own module or None, other package or None) of every import in a file; own names are relative to the package."""
    tree = ast.parse(sources[path])
    at_top = {id(node) for node in ast.walk(tree)}
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            at_top -= {id(node) for node in ast.walk(function)}
    folder = path.split("/")[:-1]
    for node in ast.walk(tree):
        top = id(node) in at_top
        if isinstance(node, ast.Import):
            for name in node.names:
                own = name.name.partition(".")
                yield (top, own[2], None) if own[0] == "sketchxc" else (top, None, name.name)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0 and node.module.split(".")[0] != "sketchxc":
                yield top, None, node.module
                continue
            base = folder[:len(folder) - node.level + 1] if node.level else []
            base += (node.module or "").split(".")[0 if node.level else 1:]
            base = ".".join(part for part in base if part)
            for name in node.names:
                inner = f"{base}.{name.name}" if base else name.name
                yield top, inner if is_module(inner, sources) else base, None


def left_of(name, order):
    return set(order[:order.index(name)])


def allowed(module):
    """What of the package a module may import; None for a module without a rule."""
    if module == "__init__":
        return set(ORDER) - {"estimators", "demo", "cli"} | {"_jit", "_place"}
    folder, _, name = module.rpartition(".")
    if folder == "_scalar":
        return {"_jit"} | {f"_scalar.{other}" for other in SCALARS if other != name}
    if folder == "_cpu":
        if name not in CPU_ORDER:
            return None
        return {"_jit"} | {f"_scalar.{other}" for other in SCALARS} | {f"_cpu.{other}" for other in left_of(name, CPU_ORDER)}
    if folder == "_cuda":
        if name == "_target":
            return set()
        if name not in CPU_ORDER:
            return None
        own = left_of(name, CPU_ORDER)
        return {f"_scalar.{other}" for other in SCALARS} | {"_cuda._target"} | {f"_cuda.{other}" for other in own}
    if module in HELPERS:
        return HELPERS[module]
    if module not in ORDER:
        return None
    found = left_of(module, ORDER) | set(HELPERS) - {"_jit"} | {f"_cpu.{module}"} | BORROWED.get(module, set())
    return found | {"_jit"} if module in ("demo", "cli") else found


def outside(module, package, top):
    """Whether a module may import another package there."""
    root = package.split(".")[0]
    if module.startswith("_scalar."):
        return top and root in ("math", "numpy")
    if module.startswith("_cpu."):
        return top and (root in ("math", "numpy", "numba") or (root in ("llvmlite", "operator") and module == "_cpu.vector"))
    if root in AT_TOP or root in INSIDE:
        return module in (AT_TOP if top else INSIDE).get(root, ())
    return root == "numpy" or (root in sys.stdlib_module_names and root != "pickle")


def violations(sources):
    """Every import that breaks a rule, as text."""
    found = []
    for path in sources:
        module = path.removesuffix(".py").replace("/", ".")
        if module.endswith(".__init__"):
            found += [f"{path} is not empty"] if sources[path].strip() else []
            continue
        rule = allowed(module)
        if rule is None:
            found.append(f"{path} has no rule")
            continue
        for top, own, other in imports(path, sources):
            if own is not None and own not in rule:
                found.append(f"{path} imports {own or 'the package itself'}")
            if other is not None and not outside(module, other, top):
                found.append(f"{path} imports {other} {'at the top' if top else 'inside a function'}")
    return found


def test_imports_follow_the_layers():
    assert violations(SOURCES) == []


@pytest.mark.parametrize("path, line, message", [
    ("hashing.py", "from .sparse import Rows", "hashing.py imports sparse"),
    ("lookup.py", "from . import decode", "lookup.py imports decode"),
    ("lookup.py", "def f():\n    from . import mach", "lookup.py imports mach"),
    ("lookup.py", "import sketchxc.mach", "lookup.py imports mach"),
    ("lookup.py", "from sketchxc import mach", "lookup.py imports mach"),
    ("lookup.py", "import sketchxc", "lookup.py imports the package itself"),
    ("lookup.py", "from ._cpu import mach", "lookup.py imports _cpu.mach"),
    ("lookup.py", "from ._cpu.mach import train", "lookup.py imports _cpu.mach"),
    ("lookup.py", "from ._scalar.hashing import cell", "lookup.py imports _scalar.hashing"),
    ("lookup.py", "from . import _jit", "lookup.py imports _jit"),
    ("lookup.py", "from . import estimators", "lookup.py imports estimators"),
    ("_check.py", "from .hashing import mix", "_check.py imports hashing"),
    ("_scalar/loss.py", "from .._cpu import lookup", "_scalar/loss.py imports _cpu.lookup"),
    ("_scalar/loss.py", "import numba", "_scalar/loss.py imports numba at the top"),
    ("_scalar/loss.py", "from .. import _check", "_scalar/loss.py imports _check"),
    ("_cpu/lookup.py", "from .mach import train", "_cpu/lookup.py imports _cpu.mach"),
    ("_cpu/lookup.py", "from ..lookup import Lookup", "_cpu/lookup.py imports lookup"),
    ("_cpu/lookup.py", "from llvmlite import ir", "_cpu/lookup.py imports llvmlite at the top"),
    ("_cpu/lookup.py", "import os", "_cpu/lookup.py imports os at the top"),
    ("_cuda/hashing.py", "from .._cpu import hashing", "_cuda/hashing.py imports _cpu.hashing"),
    ("_cuda/hashing.py", "from numba import cuda", "_cuda/hashing.py imports numba at the top"),
    ("_cuda/_target.py", "import cupy", "_cuda/_target.py imports cupy at the top"),
    ("_cpu/hashing.py", "from .._cuda import hashing", "_cpu/hashing.py imports _cuda.hashing"),
    ("hashing.py", "from ._cuda import hashing", "hashing.py imports _cuda.hashing"),
    ("sparse.py", "import scipy.sparse", "sparse.py imports scipy.sparse at the top"),
    ("lookup.py", "def f():\n    import scipy.sparse", "lookup.py imports scipy.sparse inside a function"),
    ("frame.py", "from pandas import Series", "frame.py imports pandas at the top"),
    ("cli.py", "from tqdm import tqdm", "cli.py imports tqdm at the top"),
    ("lookup.py", "import numba", "lookup.py imports numba at the top"),
    ("lookup.py", "import pickle", "lookup.py imports pickle at the top"),
    ("lookup.py", "import torch", "lookup.py imports torch at the top"),
    ("_cpu/__init__.py", "from . import mach", "_cpu/__init__.py is not empty"),
    ("unknown.py", "", "unknown.py has no rule"),
    ("_cpu/unknown.py", "", "_cpu/unknown.py has no rule"),
])
def test_a_wrong_import_is_found(path, line, message):
    sources = {**SOURCES, "estimators.py": SOURCES.get("estimators.py", "")}
    sources[path] = sources.get(path, "") + "\n" + line + "\n"
    assert message in violations(sources)


def test_import_is_light():
    code = f"import sys, sketchxc; print(*[name for name in {HEAVY} if name in sys.modules], sketchxc.__file__, sep='\\n')"
    found = subprocess.run([sys.executable, "-c", code], cwd=HOME.parent, capture_output=True, text=True, check=True)
    assert found.stdout.split("\n") == [str(HOME / "__init__.py"), ""]


@pytest.mark.parametrize("path", sorted(SOURCES))
def test_files_are_short(path):
    assert SOURCES[path].count("\n") <= 350
