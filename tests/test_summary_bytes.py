"""Heavy hitters and MinHash signatures as bytes: round trips that go on as before, pickles, and data that must be refused."""
import copy
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import hashing as naive_hashing

from sketchxc import heavy, minhash, sketchbytes, turnstile

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # uint64 wraps when kernels run as Python
SUMMARIES = [heavy.misra_gries, heavy.space_saving]
STREAM = st.lists(st.tuples(st.integers(0, 9) | st.integers(0, 2**64 - 1), st.integers(0, 5) | st.integers(0, 2**50)), max_size=40)


def split(stream):
    return np.array([key for key, _ in stream], np.uint64), np.array([count for _, count in stream], np.int64)


def contents(state):
    """Everything that what comes later depends on."""
    if isinstance(state, heavy.MisraGries):
        return [sorted(zip(*(part.tolist() for part in heavy.held(state)))), state.totals.tolist(), state.seed, state.capacity]
    if isinstance(state, heavy.SpaceSaving):
        return [state.nodes[:state.totals[0]].tolist(), state.totals.tolist(), state.seed, state.nodes.shape]
    if isinstance(state, turnstile.Turnstile):
        return [state.keys[:state.used[0]].tolist(), state.keys.shape, *(part.tolist() for part in state.counts)]
    return [state.values.tolist(), state.seed]


def examples():
    for make in SUMMARIES:
        made = make(2, seed=7)
        heavy.add(made, [1, 2, 3, 1, 4, 5, 5], [4, 1, 2, 1, 5, 1, 1])
        yield made
    made = turnstile.turnstile(3, 1, 4, seed=5)
    turnstile.add(made, [1, 2, 3, 4], [5, -6, 7, 8])
    yield made
    yield minhash.signatures((np.array([0, 2, 3]), np.array([1, 2, 3])), 3, seed=-1)


def sealed(body):
    """A body with the checksum that fits it."""
    return body + struct.pack("<Q", naive_hashing.hash_bytes(body))


@pytest.mark.parametrize("make", SUMMARIES)
@given(STREAM, STREAM, st.integers(1, 5), st.integers(-2**63, 2**64 - 1), st.booleans())
def test_a_summary_that_was_read_goes_on_as_before(make, before, after, capacity, seed, merged):
    summary = make(capacity, seed=seed)
    heavy.add(summary, *split(before))
    if merged:
        summary = heavy.merge(summary, copy.copy(summary))
    data = sketchbytes.to_bytes(summary)
    found = sketchbytes.from_bytes(data)
    assert type(found) is type(summary) and contents(found) == contents(summary) and sketchbytes.to_bytes(found) == data
    for state in (summary, found):
        heavy.add(state, *split(after))
    assert contents(found) == contents(summary)
    assert [part.tolist() for part in heavy.top_k(found, 99)] == [part.tolist() for part in heavy.top_k(summary, 99)]


@given(STREAM, STREAM, st.integers(1, 5), st.integers(0, 9))
def test_a_turnstile_that_was_read_goes_on_as_before(before, after, capacity, seed):
    state = turnstile.turnstile(capacity, 3, 8, seed=seed)
    turnstile.add(state, *split(before))
    data = sketchbytes.to_bytes(state)
    found = sketchbytes.from_bytes(data)
    assert contents(found) == contents(state) and sketchbytes.to_bytes(found) == data
    for either in (state, found):
        turnstile.add(either, *split(after))
    assert contents(found) == contents(state)


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5), st.integers(1, 5), st.integers(-2**63, 2**64 - 1))
def test_signatures(sets, permutations, seed):
    starts = np.cumsum([0] + [len(keys) for keys in sets])
    made = minhash.signatures((starts, np.array(sum(sets, []), np.int64)), permutations, seed=seed)
    found = sketchbytes.from_bytes(sketchbytes.to_bytes(made))
    assert contents(found) == contents(made) and found.values.dtype == np.uint32 and found.seed == seed % 2**64
    assert (minhash.jaccard(found, made, [[i, i] for i in range(len(sets))] or np.empty((0, 2), np.int64)) == 1).all()


def test_pickles_and_copies():
    for state in examples():
        data = sketchbytes.to_bytes(state)
        for found in (pickle.loads(pickle.dumps(state)), copy.copy(state), copy.deepcopy([state])[0],
                      sketchbytes.from_bytes(bytearray(data))):
            assert type(found) is type(state) and contents(found) == contents(state)
            arrays = [part for part in found if isinstance(part, np.ndarray)]
            assert all(part.flags.writeable and part.flags.aligned for part in arrays)
            assert not any(np.shares_memory(one, other) for one, other in zip(found, state) if isinstance(one, np.ndarray))
        assert data in pickle.dumps(state, 5)


def test_golden_bytes():
    made = heavy.misra_gries(3, seed=1)
    heavy.add(made, [9, 8], [5, 6])
    head = struct.pack("<4sHBB4Q", b"SKXC", 1, 2, 0, 3, 2, 1, 11)
    assert sketchbytes.to_bytes(made) == sealed(head + struct.pack("<7Q", 0, 8, 9, 6, 5, 0, 0))


def test_every_flipped_bit_and_every_cut_is_an_error():
    for state in examples():
        data = sketchbytes.to_bytes(state)
        for bit in range(8 * len(data)):
            changed = bytearray(data)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(ValueError, match="data must"):
                sketchbytes.from_bytes(changed)
        for end in range(len(data)):
            with pytest.raises(ValueError, match="data must"):
                sketchbytes.from_bytes(data[:end])
        with pytest.raises(ValueError, match="data must"):
            sketchbytes.from_bytes(data + b"\0" * 8)


@given(st.sampled_from(range(4)), st.data())
def test_changed_numbers_are_refused_or_make_a_summary(which, data):
    """Any number of a sealed body changed: an error, or a state that all functions take."""
    body = bytearray(sketchbytes.to_bytes(list(examples())[which])[:-8])
    at = data.draw(st.integers(1, len(body) // 8 - 1))
    struct.pack_into("<Q", body, 8 * at, data.draw(st.integers(0, 30) | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1])))
    try:
        found = sketchbytes.from_bytes(sealed(bytes(body)))
    except ValueError as error:
        assert "data must" in str(error)
        return
    assert contents(sketchbytes.from_bytes(sketchbytes.to_bytes(found))) == contents(found)
    if which < 2:
        lower, upper = heavy.bounds(found, np.arange(9))
        assert (lower <= upper).all() and (lower >= 0).all() and (upper <= heavy.total(found)).all()
        if heavy.total(found) < 2**63 - 20:
            heavy.add(found, range(20))


def numbers(kind, first, second, third, fourth, *rest):
    return sealed(struct.pack(f"<4sHBB4Q{len(rest)}Q", b"SKXC", 1, kind, 0, first, second, third, fourth, *rest))


@pytest.mark.parametrize("data, message", [
    (numbers(2, 1, 2**61, 0, 0), "bytes for a summary of"),
    (numbers(2, 1, 2**64 // 24 + 1, 0, 0), "bytes for a summary of"),  # 24 times that wraps around to 8
    (numbers(2, 0, 0, 0, 0, 0), "a summary of distinct keys"),  # no capacity
    (numbers(2, 2**28 + 1, 0, 0, 0, 0), "a summary of distinct keys"),
    (numbers(2, 1, 0, 0, 2**63, 0), "a summary of distinct keys"),
    (numbers(2, 1, 1, 0, 5, 0, 7, 6, 0), "a summary of distinct keys"),  # more than the total
    (numbers(2, 1, 1, 0, 5, 3, 7, 3, 0), "a summary of distinct keys"),  # not above what all lost
    (numbers(2, 1, 1, 0, 5, 3, 7, 4, 4), "a summary of distinct keys"),
    (numbers(2, 1, 2, 0, 9, 0, 7, 7, 4, 4, 0, 0), "a summary of distinct keys"),  # one key twice
    (numbers(2, 1, 3, 0, 9, 0, 7, 8, 9, 1, 1, 1, 0, 0, 0), "a summary of distinct keys"),  # more than it holds
    (numbers(2, 2, 2, 0, 9, 0, 7, 8, 5, 5, 0, 0), "a summary of distinct keys"),  # more than the total together
    (numbers(3, 1, 1, 0, 5, 7, 6, 0), "a summary of distinct keys"),
    (numbers(3, 2, 2, 0, 5, 7, 2, 0, 8, 1, 0), "a summary of distinct keys"),  # no heap
    (numbers(3, 1, 1, 0, 5, 7, 2, 2), "a summary of distinct keys"),
    (numbers(3, 2, 2, 0, 5, 7, 1, 0, 7, 1, 0), "a summary of distinct keys"),
    (numbers(3, 1, 2, 0, 5, 7, 1, 0, 8, 1, 0), "a summary of distinct keys"),
    (numbers(4, 3, 2**61, 0, 0), "bytes for 2305843009213693952 candidates"),
    (numbers(4, 3, 0, 0, 0), "data must be a whole sketch"),
    (numbers(5, 0, 2**62, 4, 0), "bytes for 4611686018427387904 signatures"),
    (numbers(5, 0, 0, 0, 0), "signatures of 1 to 65536 values"),
    (numbers(5, 0, 0, 65537, 0), "signatures of 1 to 65536 values"),
    (numbers(5, 0, 0, 1, 1), "signatures of 1"),
    (numbers(6, 0, 0, 1, 1), "header of a sketch, not kind 6"),
    (sealed(struct.pack("<4sHBB3Q", b"SKXC", 1, 2, 0, 1, 0, 0)), "more than 48 bytes, not 40"),
])
def test_impossible_numbers_are_refused(data, message):
    with pytest.raises(ValueError, match=f"data must .*{message}|{message}"):
        sketchbytes.from_bytes(data)


def test_a_turnstile_holds_a_count_sketch_and_ascending_keys():
    from sketchxc import sketch
    inner = sketchbytes.to_bytes(sketch.count_min(1, 2, seed=0))
    head = struct.pack("<4sHBB4Q", b"SKXC", 1, 4, 0, 2, 0, 0, 0)
    with pytest.raises(ValueError, match="and a CountSketch"):
        sketchbytes.from_bytes(sealed(head + inner))
    inner = sketchbytes.to_bytes(sketch.count_sketch(1, 2, seed=0))
    assert sketchbytes.from_bytes(sealed(head + inner)).keys.size == 2
    for capacity, keys in ((2, (5, 5)), (2, (6, 5)), (1, (5, 6)), (2**28 + 1, ())):
        head = struct.pack(f"<4sHBB4Q{len(keys)}Q", b"SKXC", 1, 4, 0, capacity, len(keys), 0, 0, *keys)
        with pytest.raises(ValueError, match="ascending candidates"):
            sketchbytes.from_bytes(sealed(head + inner))
