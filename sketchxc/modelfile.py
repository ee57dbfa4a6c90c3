"""Model files: a state (NamedTuple of arrays, numbers, strings and further states) in one safetensors file, without pickle.

The arrays are tensors under their dotted field names; of long rising ones, as the starts of lists are, the steps, where those take fewer
bytes. The metadata holds one JSON text under the key "sketchxc": format number, class
names, scalar fields, dtype, shape and 64-bit checksum of every array, notes, package version, and a checksum of the header itself.
"""
import hashlib
import json
import math
import os
import re
from typing import NamedTuple

import numpy as np

from . import _place
from ._disk import replacing

FORMAT = 1
_KEY = "sketchxc"
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "U64": "<u8", "I32": "<i4", "U32": "<u4", "I16": "<i2", "U16": "<u2",
           "I8": "|i1", "U8": "|u1", "BOOL": "|b1"}
_LONG = 4096  # numbers from which on rising arrays are written as steps
_CHECK = re.compile(rb'(?<=\{\\"check\\":\\")[0-9a-f]{16}(?=\\")')  # as it stands in the header, JSON within JSON
_registry = {}


class _Entry(NamedTuple):
    cls: type
    fields: dict
    validate: object


def register(cls, validate=None, /, **fields):
    """Make a state class known to `save` and `load`. Returns cls.

    cls : NamedTuple class; its name stands in the files and must be unique in the package.
    validate : function of a state that raises ValueError, for what concerns several fields (shapes that must agree); cheap, because every
        `save` and `load` calls it.
    fields : per field either (dtype, ndim), for an array, where dtype may be a tuple of dtypes, one of them None if the field may be None,
        and ndim may be None for any number of axes; or a type or tuple of types, for a scalar or a nested state. Other fields are free.
    Raises ValueError for a name that another class has, TypeError for unknown fields.
    """
    other = _registry.get(cls.__name__)
    if other is not None and (other.cls.__module__, other.cls.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"cls must have a name of its own, not {cls.__name__} as {other.cls.__module__}.{other.cls.__qualname__}")
    unknown = set(fields) - set(cls._fields)
    if unknown:
        raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}")
    _registry[cls.__name__] = _Entry(cls, fields, validate)
    return cls


def save(path, state, notes=None):
    """Write a state to a model file. Equal states, notes and package versions give equal bytes.

    The file appears as a whole or not at all; the old file stays intact until then, and arrays loaded from it stay valid (on Windows an
    old file whose arrays are in use cannot be replaced).
    path : file name.
    state : NamedTuple of a registered class; arrays on a device are written as those of the host, so files do not tell where one was.
    notes : dict of what JSON can hold (string keys, finite numbers); for people and for tools, `load` does not look at it.
    Raises TypeError for other states and for fields that are not arrays, numbers, strings, None or states; ValueError for fields that do
    not fit their class and notes that JSON cannot hold; OSError if the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file
    arrays = {}
    tree = _pack(_place.to_host(state), "", arrays)
    try:
        notes = json.loads(json.dumps({} if notes is None else notes, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"notes must be a dict of what JSON can hold ({error})") from None
    if not isinstance(notes, dict):
        raise TypeError(f"notes must be a dict, not {type(notes).__name__}")
    table = {name: [a.dtype.newbyteorder("<").str, list(a.shape), _digest(a)] for name, a in arrays.items()}
    content = {"format": FORMAT, "package": package_version(), "state": tree, "arrays": table, "notes": notes}
    text = '{"check":"' + "0" * 16 + '",' + json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)[1:]
    with replacing(path) as temporary:
        try:
            save_file(arrays, temporary, metadata={_KEY: text})
        except SafetensorError as error:  # a full disk, for example
            raise OSError(f"{os.fspath(path)}: {error}") from None
        with open(temporary, "rb+") as file:
            header = file.read(int.from_bytes(file.read(8), "little"))
            at = _CHECK.search(header)
            file.seek(8 + at.start())
            file.write(_header_check(header, at))


def load(path, *, expected=None, verify=False):
    """State of a model file. Its arrays are mapped into memory, copy on write: a page is read when it is first used, changes stay private;
    only those written as steps are made at once.

    path : file name.
    expected : class or tuple of classes that the state must have; None takes every registered class.
    verify : compare the checksum of every array, which reads the whole file (about a second per gigabyte). The header is always verified,
        so without it only damaged array contents go unnoticed.
    Returns a NamedTuple of the class that the file names.
    Raises ValueError with the file name and the reason if the file is not a model file, damaged, cut off, of a newer format, of an
    unknown or unexpected class, or if a field does not fit the class; OSError if the file cannot be read.
    """
    content, tensors, start = _read_header(path)
    try:
        data = np.memmap(path, np.uint8, "c").view(np.ndarray)
        arrays = {}
        for name, (dtype, shape, digest) in content["arrays"].items():
            first, last = tensors[name]["data_offsets"]
            array = data[start + first:start + last].view(dtype).reshape(shape)
            if verify and _digest(array) != digest:
                raise ValueError(f"array {name} is damaged")
            # Files of other writers may hold arrays at odd addresses, for which kernels would be compiled once more.
            arrays[name] = array if array.flags.aligned else array.copy()
        state = _unpack(content["state"], arrays)
        if expected is not None and not isinstance(state, expected):
            wanted = expected if isinstance(expected, tuple) else (expected,)
            raise ValueError(f"holds a {type(state).__name__}, not a {' or '.join(c.__name__ for c in wanted)}")
    except _DAMAGE as error:
        raise _refused(path, error) from None
    return state


def read_notes(path):
    """Notes of a model file, without its arrays.  path : file name.  Returns dict.  Raises as `load` does."""
    return _read_header(path)[0]["notes"]


def describe(path):
    """What a model file holds, without reading its arrays.

    path : file name.  Returns dict with format (int), package (version, str), state (class names and scalar fields), arrays (dotted name ->
    [dtype, shape, checksum], dtype and shape as `load` makes them), notes (dict).  Raises as `load` does.
    """
    content = _read_header(path)[0]
    content.pop("check")
    _grow(content["state"], content["arrays"])
    return content


def pack_strings(texts):
    """Strings as two arrays, which a state can hold.

    texts : list of str.  Returns (data, offsets): uint8 (bytes,), the UTF-8 of all strings; int64 (n + 1,), string i is
    data[offsets[i]:offsets[i + 1]].
    Example:
        >>> pack_strings(["a", "é"])
        (array([ 97, 195, 169], dtype=uint8), array([0, 1, 3]))
    """
    pieces = [text.encode() for text in texts]
    offsets = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum([len(piece) for piece in pieces], out=offsets[1:])
    return np.frombuffer(bytearray(b"".join(pieces)), np.uint8), offsets


def unpack_strings(data, offsets):
    """The strings that `pack_strings` packed.

    data : uint8 (bytes,).  offsets : int64 (n + 1,).  Returns list of str.
    Raises ValueError if the offsets do not rise from 0 to the size of data, or for invalid UTF-8.
    Example:
        >>> unpack_strings(*pack_strings(["a", "é"]))
        ['a', 'é']
    """
    data, offsets = np.asarray(data, np.uint8), np.asarray(offsets, np.int64)
    if offsets.ndim != 1 or offsets.size == 0 or offsets[0] != 0 or offsets[-1] != data.size or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(f"offsets must rise from 0 to {data.size}")
    text = data.tobytes()
    bounds = offsets.tolist()
    return [text[first:last].decode() for first, last in zip(bounds, bounds[1:])]


_DAMAGE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)


def _refused(path, reason):
    return ValueError(f"{os.fspath(path)}: {reason if type(reason) in (str, ValueError) else f'damaged header ({reason!r})'}")


def _read_header(path):
    """Verified content of the metadata, tensor table and position of the first array byte."""
    from safetensors import SafetensorError, safe_open
    with open(path, "rb") as file:  # a missing file is an OSError, and a folder too
        size = int.from_bytes(file.read(8), "little")
        try:
            with safe_open(os.fspath(path), framework="np"):
                pass
        except (SafetensorError, ValueError) as error:
            raise _refused(path, f"not a safetensors file, damaged or cut off ({error})") from None
        raw = file.read(size)
    try:
        tensors = json.loads(raw)
        text = tensors.pop("__metadata__", {}).get(_KEY)
        if text is None:
            raise ValueError(f"a safetensors file without {_KEY} metadata, not a model file of this package")
        content = json.loads(text)
        if isinstance(content["format"], int) and content["format"] > FORMAT:
            raise ValueError(f"format {content['format']} (written by sketchxc {content.get('package')}) is newer than format {FORMAT}, "
                             f"the latest that sketchxc {package_version()} reads")
        at = _CHECK.search(raw)
        if content["format"] != FORMAT or at is None or _header_check(raw, at) != at.group():
            raise ValueError("damaged header (wrong checksum)")
        found = {name: [_DTYPES.get(entry["dtype"]), entry["shape"]] for name, entry in tensors.items()}
        if found != {name: entry[:2] for name, entry in content["arrays"].items()}:
            raise ValueError("damaged header (the arrays are not those that were written)")
        if not isinstance(content["notes"], dict):
            raise ValueError("damaged header (notes)")
    except _DAMAGE as error:
        raise _refused(path, error) from None
    return content, tensors, 8 + size


def _header_check(header, at):
    """Checksum of a header whose own checksum, at the match `at`, counts as zeros; ASCII bytes."""
    cleared = header[:at.start()] + b"0" * 16 + header[at.end():]
    return hashlib.blake2b(cleared, digest_size=8).hexdigest().encode()


def _digest(array):
    return hashlib.blake2b(array.reshape(-1).view(np.uint8), digest_size=8).hexdigest()


def package_version():
    """Version of sketchxc, "unknown" where it is not installed."""
    import importlib.metadata
    try:
        return importlib.metadata.version("sketchxc")
    except importlib.metadata.PackageNotFoundError:  # run from a source tree
        return "unknown"


def _pack(value, name, arrays):
    """Value as JSON; arrays go to `arrays` under their dotted names."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        cls = type(value)
        if cls.__name__ not in _registry or _registry[cls.__name__].cls is not cls:
            raise TypeError(f"{name or 'state'} must be of a registered class, not {cls.__name__}")
        _check_fields(value, name)
        fields = {field: _pack(getattr(value, field), f"{name}.{field}" if name else field, arrays) for field in cls._fields}
        return {"class": cls.__name__, "fields": fields}
    if not name:
        raise TypeError(f"state must be a NamedTuple of a registered class, not {type(value).__name__}")
    if isinstance(value, np.ndarray):
        if value.dtype.newbyteorder("<").str not in _DTYPES.values():
            raise TypeError(f"{name} must be an array of numbers or bools up to 64 bits, not {value.dtype}")
        array = np.asarray(value, order="C").astype(value.dtype.newbyteorder("<"), copy=False)
        arrays[name] = _steps(array)
        if arrays[name] is not array:
            return {"array": name, "first": int(array[0]), "dtype": array.dtype.str}
        return {"array": name}
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}  # not in JSON
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{name} must be an array, a number, a string, None or a state, not {type(value).__name__}")


def _steps(array):
    """Steps between the numbers of a long rising array in the fewest bytes that hold them, or the array itself if that saves nothing."""
    if array.ndim != 1 or array.size < _LONG or array.dtype.kind not in "iu" or not (array[1:] >= array[:-1]).all():
        return array
    steps = np.diff(array).view(f"<u{array.dtype.itemsize}")  # as unsigned numbers right even where the difference leaves the type
    kind = np.min_scalar_type(steps.max())
    return steps.astype(kind) if kind.itemsize < array.dtype.itemsize else array


def _grow(tree, table):
    """Put the arrays that were written as steps into the table as what they were."""
    if isinstance(tree, dict) and "first" in tree:
        entry = table[tree["array"]]
        entry[:2] = tree["dtype"], [entry[1][0] + 1]
    elif isinstance(tree, dict):
        for value in tree.get("fields", {}).values():
            _grow(value, table)


def _rising(first, steps, dtype):
    """The array whose steps were written."""
    if dtype not in _DTYPES.values():
        raise ValueError(f"damaged header (dtype {dtype!r})")
    array = np.empty(steps.size + 1, dtype)
    array[0] = first
    np.cumsum(steps, dtype=array.dtype, out=array[1:])
    array[1:] += array[0]
    return array


def _unpack(tree, arrays, name=""):
    if not isinstance(tree, dict):
        return tree
    if "first" in tree:
        return _rising(tree["first"], arrays[tree["array"]], tree["dtype"])
    if "array" in tree:
        return arrays[tree["array"]]
    if "float" in tree:
        return float(tree["float"])
    if tree["class"] not in _registry:
        raise ValueError(f"unknown class {tree['class']!r}, known are {', '.join(sorted(_registry))}")
    cls = _registry[tree["class"]].cls
    found, own = set(tree["fields"]), set(cls._fields)
    if found - own or own - found - set(cls._field_defaults):  # fields that an older version did not have take their defaults
        raise ValueError(f"{tree['class']} has the fields {', '.join(sorted(tree['fields']))}, expected {', '.join(sorted(cls._fields))}")
    state = cls(**{field: _unpack(value, arrays, f"{name}.{field}" if name else field) for field, value in tree["fields"].items()})
    _check_fields(state, name)
    return state


def _check_fields(state, name):
    """ValueError if a field is not what its class declared."""
    entry = _registry[type(state).__name__]
    for field, wanted in entry.fields.items():
        value = getattr(state, field)
        own = f"{name}.{field}" if name else field
        types = wanted if isinstance(wanted, tuple) else (wanted,)
        if all(isinstance(t, type) for t in types):
            if not isinstance(value.item() if isinstance(value, np.generic) else value, types):
                raise ValueError(f"{own} must be {' or '.join(t.__name__ for t in types)}, not {type(value).__name__}")
            continue
        dtypes, ndim = wanted if isinstance(wanted[0], tuple) else ((wanted[0],), wanted[1])
        if value is None and None in dtypes:
            continue
        if not isinstance(value, np.ndarray) or value.dtype not in [np.dtype(d) for d in dtypes if d is not None]:
            found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise ValueError(f"{own} must be an array of {' or '.join(np.dtype(d).name for d in dtypes if d is not None)}, not {found}")
        if ndim is not None and value.ndim != ndim:
            raise ValueError(f"{own} must have {ndim} axes, not shape {value.shape}")
    if entry.validate is not None:
        entry.validate(state)
