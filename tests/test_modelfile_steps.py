"""Model files: long rising arrays are written as their steps, and come back as they were."""
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from sketchxc import modelfile

KINDS = ("<i8", "<u8", "<i4", "<u4", "<i2", "<u2", "|i1", "|u1")


class Rising(NamedTuple):
    numbers: np.ndarray


modelfile.register(Rising, numbers=(tuple(np.dtype(kind) for kind in KINDS), 1))


@st.composite
def arrays(draw):
    """Integers of any width, rising with small or large steps, or in no order."""
    kind = np.dtype(draw(st.sampled_from(KINDS)))
    info = np.iinfo(kind)
    numbers = draw(st.lists(st.one_of(st.integers(int(info.min), int(info.max)), st.integers(0, 100)), max_size=9))
    return np.array(sorted(numbers) if draw(st.booleans()) else numbers, kind)


@given(arrays())
def test_arrays_come_back(tmp_path_factory, array):
    path = tmp_path_factory.mktemp("steps") / "model"
    long = modelfile._LONG
    try:
        modelfile._LONG = 2
        modelfile.save(path, Rising(array))
    finally:
        modelfile._LONG = long
    found = modelfile.load(path, verify=True).numbers
    assert found.dtype == array.dtype and found.tolist() == array.tolist()


@pytest.mark.parametrize("step, width", [(0, 1), (255, 1), (256, 2), (65535, 2), (65536, 4), (1 << 33, 8)])
def test_steps_take_the_fewest_bytes(tmp_path, step, width):
    path = tmp_path / "model"
    array = np.arange(5000) * step
    modelfile.save(path, Rising(array))
    with safe_open(path, framework="np") as file:
        found = file.get_slice("numbers")
        written = [np.dtype(file.get_tensor("numbers").dtype).str, found.get_shape()]
    assert written[0] == {1: "|u1", 2: "<u2", 4: "<u4", 8: "<i8"}[width] and written[1] == [5000 - (width < 8)]
    assert modelfile.describe(path)["arrays"]["numbers"][:2] == ["<i8", [5000]]
    np.testing.assert_array_equal(modelfile.load(path).numbers, array)


def test_short_and_falling_arrays_are_written_as_they_are(tmp_path):
    for array in (np.arange(4095), np.arange(5000)[::-1].copy()):
        modelfile.save(tmp_path / "model", Rising(array))
        assert modelfile.describe(tmp_path / "model")["arrays"]["numbers"][:2] == ["<i8", [array.size]]


@pytest.mark.parametrize("dtype, first", [("|O", 0), (None, 0), ("<u2", 1 << 20), ("<u2", "x")])
def test_damaged_steps_are_refused(dtype, first):
    with pytest.raises(modelfile._DAMAGE):  # `load` names the file then
        modelfile._rising(first, np.ones(3, np.uint8), dtype)
