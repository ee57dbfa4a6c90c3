"""What model files refuse to hold; notes; lists of strings."""
import os
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_modelfile import Inner, alike, example, must_agree

from sketchxc import modelfile


class Stranger(NamedTuple):
    n: int


@pytest.mark.parametrize("state, error, message", [
    (Stranger(1), TypeError, "state must be of a registered class, not Stranger"),
    (5, TypeError, "state must be a NamedTuple of a registered class, not int"),
    (example()._replace(flag=Stranger(1)), TypeError, "flag must be of a registered class, not Stranger"),
    (example()._replace(flag=[1]), TypeError, "flag must be an array, a number, a string, None or a state, not list"),
    (example()._replace(flag=np.array(["a"])), TypeError, "flag must be an array of numbers or bools up to 64 bits, not <U1"),
    (example()._replace(flag=np.array([None])), TypeError, "flag must be an array of numbers or bools"),
    (example()._replace(flag=np.zeros(1, complex)), TypeError, "flag must be an array of numbers or bools"),
    (example()._replace(n="1"), ValueError, "n must be int, not str"),
    (example()._replace(weights=np.zeros(3)), ValueError, "weights must be an array of float32, not float64"),
    (example()._replace(inner=Inner(np.zeros(2, np.float32), np.zeros(2, np.uint64))), ValueError,
     r"inner\.table must have 2 axes, not shape"),
    (example()._replace(inner=Inner(np.zeros((3, 2), np.float32), np.zeros(2, np.uint64))), ValueError, "table has 3 rows")])
def test_save_refuses(tmp_path, state, error, message):
    with pytest.raises(error, match=message):
        modelfile.save(tmp_path / "m", state)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("notes, error", [
    ({"a": float("nan")}, ValueError), ({"a": object()}, ValueError), ([1], TypeError), ({(1, 2): 1}, ValueError)])
def test_save_refuses_notes(tmp_path, notes, error):
    with pytest.raises(error, match="notes must be a dict"):
        modelfile.save(tmp_path / "m", example(), notes)
    assert os.listdir(tmp_path) == []


def test_notes_that_look_like_the_checksum(tmp_path):
    notes = {"check": "0" * 16, "text": '{"check":"0123456789abcdef"', "deep": {"check": "0123456789abcdef"}}
    modelfile.save(tmp_path / "m", example(), notes)
    assert modelfile.read_notes(tmp_path / "m") == notes
    alike(modelfile.load(tmp_path / "m"), example())


def test_register_refuses():
    with pytest.raises(TypeError, match="Stranger has no field m"):
        modelfile.register(Stranger, m=int)
    stranger = type("Outer", (Stranger,), {"__module__": "elsewhere"})
    with pytest.raises(ValueError, match="cls must have a name of its own, not Outer as test_modelfile.Outer"):
        modelfile.register(stranger)
    assert modelfile.register(Inner, must_agree, **modelfile._registry["Inner"].fields) is Inner  # a module that is loaded again


@given(texts=st.lists(st.text(max_size=5), max_size=5))
def test_strings(texts):
    data, offsets = modelfile.pack_strings(texts)
    assert (data.dtype, offsets.dtype) == (np.uint8, np.int64)
    assert data.tobytes() == "".join(texts).encode()
    assert modelfile.unpack_strings(data, offsets) == texts


def test_strings_refuse():
    data = np.frombuffer(b"ab\xff", np.uint8)
    for offsets in ([], [1, 3], [0, 2], [0, 3, 2, 3], [[0, 3]]):
        with pytest.raises(ValueError, match="offsets must rise from 0 to 3"):
            modelfile.unpack_strings(data, np.array(offsets, np.int64))
    with pytest.raises(ValueError):
        modelfile.unpack_strings(data, np.array([0, 3]))
