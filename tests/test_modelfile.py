import json
import os
import pathlib
import pickle
import sys
import time
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from sketchxc import _disk, modelfile

GOLDEN = pathlib.Path(__file__).parent / "vectors" / "model_v1.safetensors"


class Inner(NamedTuple):
    table: np.ndarray
    seeds: np.ndarray
    more: object = None


class Outer(NamedTuple):
    weights: np.ndarray
    inner: object
    n: int
    rate: float
    name: object
    flag: object = True


def must_agree(state):
    if state.table.shape[0] != state.seeds.size:
        raise ValueError(f"table has {state.table.shape[0]} rows, but there are {state.seeds.size} seeds")


modelfile.register(Inner, must_agree, table=((np.float32, np.int64), 2), seeds=(np.uint64, 1), more=((np.float32, None), None))
modelfile.register(Outer, weights=(np.float32, None), inner=(Inner, type(None)), n=int, rate=(int, float), name=(str, type(None)))


def example():
    inner = Inner(np.arange(6, dtype=np.float32).reshape(2, 3), np.array([2**64 - 1, 7], np.uint64))
    return Outer(np.array([[0.5, -0.0], [np.nan, np.inf]], np.float32), inner, 2**40, 0.1, "Käse\n\"x\"", True)


def alike(a, b):
    assert type(a) is type(b)
    for x, y in zip(a, b):
        if isinstance(y, tuple):
            alike(x, y)
        elif isinstance(y, np.ndarray):
            assert type(x) is np.ndarray
            assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())
            assert x.flags.writeable and x.flags.aligned and x.flags.c_contiguous
        else:
            assert (type(x), repr(x)) == (type(y), repr(y))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    modelfile.save(path, example(), {"z": 1, "a": ["x", None, 1.5]})
    return path


def test_save_then_load(path):
    alike(modelfile.load(path), example())
    alike(modelfile.load(str(path), verify=True, expected=Outer), example())
    assert modelfile.read_notes(path) == {"z": 1, "a": ["x", None, 1.5]}
    found = modelfile.describe(path)
    assert found["format"] == modelfile.FORMAT == 1
    assert found["state"]["class"] == "Outer"
    assert found["arrays"]["inner.seeds"][:2] == ["<u8", [2]]
    json.dumps(found)


@given(data=st.data())
def test_any_arrays(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    kind = data.draw(st.sampled_from("f8 f4 f2 i8 u8 i4 u4 i2 u2 i1 u1 b1 >f4 >i8".split()))
    shape = tuple(data.draw(st.lists(st.integers(0, 3), max_size=3)))
    raw = data.draw(st.binary(min_size=256, max_size=256))
    array = np.frombuffer(raw, "u1" if kind == "b1" else kind)[:int(np.prod(shape))].reshape(shape)
    array = np.asarray(array > 127) if kind == "b1" else array
    array = array.T if data.draw(st.booleans()) else array
    rate = data.draw(st.one_of(st.floats(), st.integers()))
    state = Outer(np.zeros((0, 2), np.float32), None, data.draw(st.integers()), rate, data.draw(st.one_of(st.none(), st.text())), array)
    modelfile.save(path, state)
    first = path.read_bytes()
    loaded = modelfile.load(path, verify=True)
    alike(loaded, state._replace(flag=array.astype(array.dtype.newbyteorder("="), order="C")))
    modelfile.save(path, loaded)
    assert path.read_bytes() == first


def test_numpy_scalars_become_python(tmp_path):
    modelfile.save(tmp_path / "m", example()._replace(n=np.int64(5), rate=np.float32(0.5), flag=np.bool_(False), inner=None))
    loaded = modelfile.load(tmp_path / "m")
    assert (loaded.n, loaded.rate, loaded.flag) == (5, 0.5, False)
    assert [type(v) for v in (loaded.n, loaded.rate, loaded.flag)] == [int, float, bool]


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -float("inf"), -0.0, 5e-324])
def test_odd_floats(tmp_path, rate):
    modelfile.save(tmp_path / "m", example()._replace(rate=rate))
    assert repr(modelfile.load(tmp_path / "m").rate) == repr(rate)


def test_equal_content_equal_bytes(path):
    first = path.read_bytes()
    modelfile.save(path, example(), {"a": ["x", None, 1.5], "z": 1})
    assert path.read_bytes() == first


def test_changes_stay_private(path):
    first = path.read_bytes()
    loaded = modelfile.load(path)
    loaded.weights[:] = 3
    loaded.inner.table[:] += 1
    assert path.read_bytes() == first
    alike(modelfile.load(path), example())
    modelfile.save(path, loaded)  # over the file that is mapped
    assert (loaded.weights == 3).all()
    assert (modelfile.load(path).weights == 3).all()


def test_loading_reads_no_arrays(tmp_path):
    big = Outer(np.zeros((1 << 22, 8), np.float32), None, 1, 1, None)
    modelfile.save(tmp_path / "big", big)
    start = time.perf_counter()
    for _ in range(20):
        modelfile.load(tmp_path / "big")
    assert time.perf_counter() - start < 2  # 2.7 gigabytes, if they were read


def test_golden_file_of_format_1():
    loaded = modelfile.load(GOLDEN, verify=True)
    alike(loaded, example())
    assert modelfile.read_notes(GOLDEN) == {"why": "format 1 must stay readable"}


def refused(path, content, reason=None, **options):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        modelfile.load(path, **options)
    assert type(caught.value) is ValueError
    assert str(caught.value).startswith(f"{path}: ")


def test_every_truncation_is_refused(path):
    content = path.read_bytes()
    for size in range(len(content)):
        refused(path, content[:size])
    refused(path, content + b"\0")


def test_every_header_bit_is_protected(path):
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for bit in range(8 * header):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(path, bytes(damaged))


def test_every_array_bit_is_protected_by_verify(path):
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for bit in range(8 * header, 8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(path, bytes(damaged), r"array (weights|inner\.(table|seeds)) is damaged", verify=True)
    assert type(modelfile.load(path)) is Outer  # documented: not noticed without verify


@given(data=st.data())
def test_random_damage(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "fuzzed.safetensors"
    content = bytearray(GOLDEN.read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    first = data.draw(st.integers(0, header - 1))
    piece = data.draw(st.binary(min_size=1, max_size=20))
    damaged = bytes(content[:first] + piece + content[first + (len(piece) if data.draw(st.booleans()) else 0):])
    if damaged != bytes(content):
        refused(path, damaged)


def rewrite(path, change):
    """The file with other JSON content and a right checksum: what a person with a text editor, or another program, could make."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    content = json.loads(header["__metadata__"]["sketchxc"])
    content.pop("check")
    change(content, header)
    text = '{"check":"' + "0" * 16 + '",' + json.dumps(content)[1:]
    header["__metadata__"]["sketchxc"] = text
    new = json.dumps(header, separators=(",", ":")).encode()
    new += b" " * (-len(new) % 8)
    at = modelfile._CHECK.search(new)
    new = new[:at.start()] + modelfile._header_check(new, at) + new[at.end():]
    return len(new).to_bytes(8, "little") + new + raw[8 + size:]


def put(*keys, value):
    def change(content, header):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = value
    return change


@pytest.mark.parametrize("change, reason", [
    (put("format", value=2), r"format 2 \(written by sketchxc .*\) is newer than format 1, the latest that sketchxc .* reads"),
    (put("format", value=0), "damaged header"), (put("format", value="1"), "damaged header"),
    (put("state", "class", value="Strange"), "unknown class 'Strange', known are .*Inner.*Outer"),
    (put("state", "class", value=["Outer"]), "damaged header"), (put("state", "class", value="Inner"), "Inner has the fields flag, inner"),
    (put("state", value=5), "holds a int, not a Outer"), (put("state", value={}), "damaged header"),
    (put("state", "fields", "n", value="5"), "n must be int, not str"),
    (put("state", "fields", "weights", value=None), "weights must be an array"),
    (put("state", "fields", "weights", value={"array": "inner.seeds"}), "weights must be an array of float32, not uint64"),
    (put("state", "fields", "weights", value={"array": "none"}), "damaged header"),
    (put("state", "fields", "rate", value={"float": "x"}), "could not convert"),
    (put("state", "fields", "inner", "fields", "table", value={"array": "weights"}), None),
    (put("state", "fields", "inner", "fields", "seeds", value={"array": "weights"}),
     r"inner\.seeds must be an array of uint64, not float32"),
    (put("arrays", value={}), "the arrays are not those"), (put("arrays", value=3), "damaged header"),
    (put("arrays", "weights", value=["<i4", [2, 2], ""]), "the arrays are not those"),
    (put("arrays", "weights", value=[]), "arrays are not"),
    (put("notes", value=[]), "notes"), (lambda content, header: content.pop("notes"), "damaged header"),
    (lambda content, header: content["state"]["fields"].pop("n"), "Outer has the fields flag, inner, name, rate, weights, expected"),
    (lambda content, header: header["inner.seeds"].update(dtype="I64"), "the arrays are not those")])
def test_wrong_content(path, change, reason):
    content = rewrite(path, change)
    if reason is None:
        path.write_bytes(content)
        assert modelfile.load(path).inner.table.shape == (2, 2)
    else:
        refused(path, content, reason, expected=Outer)


def test_rewrite_itself_is_accepted(path):
    path.write_bytes(rewrite(path, lambda content, header: None))
    alike(modelfile.load(path), example())


def test_wrong_files(path, tmp_path):
    refused(path, b"", "not a safetensors file")
    refused(path, b"0 1:1\n" * 50, "not a safetensors file")
    refused(path, (2**63).to_bytes(8, "little") + b"{}", "not a safetensors file")
    refused(path, b"\x80\x04" + pickle.dumps(example()), "not a safetensors file")
    save_file({"a": np.zeros(3)}, path)
    refused(path, path.read_bytes(), "without sketchxc metadata")
    for text in ("", "[]", "{", "5", '{"format":1}', "[" * 5000):
        save_file({"a": np.zeros(3)}, path, metadata={"sketchxc": text})
        refused(path, path.read_bytes(), "damaged header")
    with pytest.raises(FileNotFoundError):
        modelfile.load(tmp_path / "missing")
    with pytest.raises(OSError):
        modelfile.load(tmp_path)


def test_odd_addresses_are_copied(path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    new = raw[8:8 + size] + b" "
    at = modelfile._CHECK.search(new)
    new = new[:at.start()] + modelfile._header_check(new, at) + new[at.end():]
    path.write_bytes(len(new).to_bytes(8, "little") + new + raw[8 + size:])
    alike(modelfile.load(path, verify=True), example())


def test_expected_class(path):
    with pytest.raises(ValueError, match="holds a Outer, not a Inner"):
        modelfile.load(path, expected=Inner)
    alike(modelfile.load(path, expected=(Inner, Outer)), example())


@pytest.mark.parametrize("place", ["fsync", "replace", "chmod"])
def test_interrupted_saving(path, monkeypatch, place):
    old = path.read_bytes()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr(_disk.os, place, full)
        with pytest.raises(OSError, match="No space left"):
            modelfile.save(path, example()._replace(n=1))
    assert path.read_bytes() == old
    with monkeypatch.context() as patch:
        patch.setattr(modelfile, "_header_check", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            modelfile.save(path, example()._replace(n=1))
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_full_disk(path):
    import resource
    import signal
    old = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10000, limits[1]))
        with pytest.raises(Exception) as caught:
            modelfile.save(path, Outer(np.zeros(100000, np.float32), None, 1, 1, None))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert isinstance(caught.value, OSError) and str(path) in str(caught.value)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="modes of POSIX")
def test_mode(path):
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    assert path.stat().st_mode == plain.stat().st_mode


def test_no_pickle(path, monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("pickle")
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, forbidden)
    modelfile.load(path, verify=True)
    assert "pickle" not in modelfile.__dict__
