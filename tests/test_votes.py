"""Votes: naive twins of counts, weights and candidates, laws of merging, rounding to 8 bits, edges, threads, model files, bad input."""
import numba
import numpy as np
import pytest
from conftest import AS_PYTHON
from hypothesis import example, given
from hypothesis import strategies as st
from naive import sparse as naive_sparse
from naive import votes as naive

from sketchxc import modelfile, sparse, votes
from sketchxc.sparse import Rows

VALUES = st.sampled_from([-1.0, 0.0, 0.25, 1.0]) | st.floats(0, 9, width=32)


@st.composite
def problems(draw, max_rows=8, width=None, n_labels=None):
    """(naive rows, label lists, width, number of labels)."""
    width = draw(st.integers(1, 8)) if width is None else width
    n_labels = draw(st.integers(1, 7)) if n_labels is None else n_labels
    n = draw(st.integers(0, max_rows))
    entry = st.tuples(st.integers(0, width - 1), VALUES)
    rows = draw(st.lists(st.lists(entry, max_size=width, unique_by=lambda e: e[0]), min_size=n, max_size=n))
    labels = draw(st.lists(st.sets(st.integers(0, n_labels - 1), max_size=4).map(sorted), min_size=n, max_size=n))
    return naive_sparse.rows(rows, drop=False), labels, width, n_labels


def build(rows, width):
    """Rows of naive pairs with ascending columns; stored zeros stay."""
    return Rows(np.cumsum([0] + [len(row) for row in rows]), np.array([c for row in rows for c, _ in row], np.int32),
                np.array([v for row in rows for _, v in row], np.float32), width)


def counted(rows, labels, width, n_labels):
    return votes.count(build(rows, width), sparse.rows(labels, n_labels))


def equal(a, b):
    return all(np.array_equal(p, q) and np.asarray(p).dtype == np.asarray(q).dtype for p, q in zip(a, b))


def as_dict(counts):
    features = np.repeat(np.arange(counts.indptr.size - 1), np.diff(counts.indptr))
    return {(j, k): c for j, k, c in zip(features.tolist(), counts.labels.tolist(), counts.counts.tolist())}


def as_lists(made):
    """[(label, scale, parts)] of each feature."""
    return [[(int(made.labels[p]), float(scale), int(made.weights[p])) for p in range(a, b)]
            for a, b, scale in zip(made.starts.tolist(), made.starts[1:].tolist(), made.scales)]


def answers(labels, scores):
    """Naive candidates; nothing may follow the first -1."""
    out = []
    for line, values in zip(labels.tolist(), scores.tolist()):
        size = line.index(-1) if -1 in line else len(line)
        assert line[size:] == [-1] * (len(line) - size) and values[size:] == [0.0] * (len(line) - size)
        out.append(list(zip(line[:size], values[:size])))
    return out


def drawn(n, width, n_labels, seed=0, most=5):
    rng = np.random.default_rng(seed)
    rows = [[(c, float(rng.integers(1, 9)) / 4) for c in sorted(rng.permutation(width)[:rng.integers(0, most)].tolist())]
            for _ in range(n)]
    return rows, [sorted(rng.permutation(n_labels)[:rng.integers(0, 4)].tolist()) for _ in range(n)], width, n_labels


# ---- counts

@given(problems(), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_decay_matches_the_naive_twin(case, factor):
    """Twice the same rows, so that halves are not all 0."""
    rows, labels, width, n_labels = case
    once = counted(rows, labels, width, n_labels)
    twice = votes.merge(once, once)
    left = votes.decay(twice, factor)
    both, features, own, n = naive.decay(naive.count(rows * 2, labels * 2), factor)
    assert as_dict(left) == both and left.rows == n
    assert left.feature_rows.tolist() == [features.get(j, 0) for j in range(width)]
    assert left.label_rows.tolist() == [own.get(k, 0) for k in range(n_labels)]
    assert equal(votes.decay(twice, 1), twice) and all(a.dtype == b.dtype for a, b in zip(left[:5], twice[:5]))


@given(problems())
def test_count_matches_the_naive_twin(case):
    rows, labels, width, n_labels = case
    got, (both, features, own, n) = counted(*case), naive.count(rows, labels)
    assert [a.dtype for a in got[:5]] == [np.int64, np.int32, np.int32, np.int64, np.int64]
    assert as_dict(got) == both and got.rows == n and got.counts.size == len(both)
    assert got.feature_rows.tolist() == [features.get(j, 0) for j in range(width)]
    assert got.label_rows.tolist() == [own.get(k, 0) for k in range(n_labels)]
    assert all(list(line) == sorted(set(line)) for line in np.split(got.labels.tolist(), got.indptr[1:-1]))


@pytest.mark.parametrize("n_labels, found", [(200, 33), (200, 200), (64, 64), (129, 64), (70_000, 33), (70_000, 32), (70_000, 80)])
def test_long_lists_ascend(n_labels, found):
    """33 labels or more of few are sorted by bits, of many by comparison."""
    chosen = np.random.default_rng(found).permutation(n_labels)[:found]
    y = Rows(np.arange(found + 1), chosen.astype(np.int32), np.ones(found, np.float32), n_labels)
    got = votes.count(build([[(0, 1.0)], [(0, 1.0), (1, 1.0)]] + [[(0, 1.0)]] * (found - 2), 2), y)
    assert got.labels.tolist() == sorted(chosen.tolist()) + [chosen[1]] and (got.counts == 1).all()


def test_long_lists_of_neighbours_stay_apart():
    labels = [sorted(range(start, 200, 3)) for start in (0, 1, 2)]
    got = counted([[(j, 1.0)] for j in range(3)], labels, 3, 200)
    assert [line.tolist() for line in np.split(got.labels, got.indptr[1:-1])] == labels


# ---- merging

@given(st.lists(problems(), min_size=3, max_size=3))
def test_merge_is_commutative_and_associative(cases):
    a, b, c = (counted(*case) for case in cases)
    assert equal(votes.merge(a, b), votes.merge(b, a))
    assert equal(votes.merge(votes.merge(a, b), c), votes.merge(a, votes.merge(b, c)))


@given(problems(), problems())
def test_merge_counts_all_rows(one, other):
    width, n_labels = max(one[2], other[2]), max(one[3], other[3])
    together = counted(one[0] + other[0], one[1] + other[1], width, n_labels)
    assert equal(votes.merge(counted(*one), counted(*other)), together)


@given(problems(width=6, n_labels=5), st.randoms(use_true_random=False))
def test_order_of_rows(case, random):
    order = list(range(len(case[0])))
    random.shuffle(order)
    assert equal(counted([case[0][i] for i in order], [case[1][i] for i in order], 6, 5), counted(*case))


def test_merge_refuses_what_does_not_fit():
    part = counted(*drawn(4, 3, 3))
    with pytest.raises(ValueError, match="rows of a and b must be between 0 and 2147483647"):
        votes.merge(part._replace(rows=2**31 - 4), part)


# ---- weights

SETTINGS = dict(feature_power=st.sampled_from([0.0, 0.5, 0.75, 1.0]), label_power=st.sampled_from([0.0, 0.2, 1.0]),
                smoothing=st.sampled_from([0.0, 1.5]), expected=st.sampled_from([0.0, 1.0, 2.0]), keep=st.integers(1, 5),
                threshold=st.sampled_from([0.0, 0.02, 0.3]))


@given(problems(), st.fixed_dictionaries(SETTINGS))
@example(([], [], 1, 1), dict(feature_power=0.5, label_power=0.0, smoothing=0.0, expected=0.0, keep=1, threshold=0.0))  # no row has it
def test_votes_match_the_naive_twin(case, options):
    made = votes.votes(counted(*case), **options)
    wanted = naive.weights(naive.count(*case[:2]), case[2], **options)
    got = as_lists(made)
    assert [[label for label, _, _ in line] for line in got] == [[label for label, _ in line] for line in wanted]
    assert [a.dtype for a in made[:4]] == [np.uint32, np.uint16, np.uint8, np.float16] and made.n_labels == case[3]
    for line, exact in zip(got, wanted):
        for (_, scale, parts), (_, weight) in zip(line, exact):
            assert abs(scale * parts - weight) <= scale * 0.5001 or (parts == 1 and weight < scale)
            assert scale * 255.5 >= max(w for _, w in exact) * 0.9999 and 1 <= parts <= 255


def test_defaults_are_those_of_the_docstring():
    case = drawn(40, 6, 5)
    wanted = naive.weights(naive.count(*case[:2]), 6, 0.75, 0.2, 1.5, 1.0, 100, 0.02)
    assert [[k for k, _, _ in line] for line in as_lists(votes.votes(counted(*case)))] == [[k for k, _ in line] for line in wanted]


def test_equal_weights_keep_the_smaller_labels():
    made = votes.votes(counted([[(0, 1.0)]] * 4, [[3], [1], [2], [0]], 1, 4), keep=2, expected=0)
    assert made.labels.tolist() == [0, 1] and made.weights.tolist() == [255, 255]


def test_ends_of_threshold_and_parts():
    """A weight equal to the threshold is kept; one below half a scale is one part, because 0 would be no vote."""
    counts = counted([[(0, 1.0)]] * 601, [[1]] * 600 + [[0]], 1, 2)
    plain = dict(feature_power=0, label_power=0, expected=0)
    assert votes.votes(counts, threshold=1.0, **plain).weights.tolist() == [1, 255]
    assert votes.votes(counts, threshold=1.01, **plain).labels.tolist() == [1]


@pytest.mark.parametrize("power", [2.0, 4.0, 4.6])
def test_small_weights_stay_votes(power):
    """Scales below 6e-5 have few bits in float16, and the nearest may be 0."""
    x = build([[(0, 1.0)]] * 50, 1)
    counts = votes.count(x, sparse.rows([[i % 2] if i < 30 else [0] for i in range(50)], 2))
    made = votes.votes(counts, expected=0, threshold=0, feature_power=power, label_power=0)
    exact = np.array([35, 15]) / 51.5**power
    assert (made.scales > 0).all() and (np.abs(made.weights * np.float64(made.scales[0]) - exact) <= 0.501 * float(made.scales[0])).all()


def test_weights_beyond_float16():
    counts = counted([[(0, 1.0)]], [[0]], 1, 1)._replace(counts=np.array([2**25], np.int32))
    options = dict(feature_power=0, label_power=0, expected=0)
    with pytest.raises(ValueError, match="weights must be at most 16703520, not 33554432.*larger feature_power"):
        votes.votes(counts, **options)
    made = votes.votes(counts._replace(counts=np.array([16_000_000], np.int32)), **options)
    assert abs(made.weights[0] * float(made.scales[0]) / 16_000_000 - 1) < 1 / 255


@pytest.mark.parametrize("n_labels, dtype", [(65536, np.uint16), (65537, np.int32)])
def test_labels_take_two_bytes_where_they_fit(n_labels, dtype):
    x = build([[(0, 1.0)], [(0, 1.0)], [(1, 1.0)]], 2)
    made = votes.votes(votes.count(x, sparse.rows([[n_labels - 1], [0, n_labels - 1], []], n_labels)), expected=0)
    assert made.labels.dtype == dtype and made.labels.tolist() == [0, n_labels - 1]
    assert votes.candidates(made, x, 2)[0].tolist() == [[n_labels - 1, 0]] * 2 + [[-1, -1]]


# ---- candidates

@given(problems(n_labels=6, width=5), problems(n_labels=6, width=5), st.integers(1, 6), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_candidates_match_the_naive_twin(seen, asked, k, power):
    made = votes.votes(counted(*seen), expected=0)
    labels, scores = votes.candidates(made, build(asked[0], 5), k, power=power)
    assert labels.dtype == np.int32 and scores.dtype == np.float32 and labels.shape == scores.shape == (len(asked[0]), k)
    assert answers(labels, scores) == naive.candidates(as_lists(made), asked[0], k, power)


def test_all_labels_give_all_sums():
    case = drawn(150 if AS_PYTHON else 700, 12, 40)
    made = votes.votes(counted(*case), expected=0, threshold=0)
    labels, scores = votes.candidates(made, build(case[0], 12), 40)
    assert answers(labels, scores) == naive.candidates(as_lists(made), case[0], 40, 0.5)
    best = votes.candidates(made, build(case[0], 12), 7)
    assert np.array_equal(best[0], labels[:, :7]) and np.array_equal(best[1], scores[:, :7])


def test_shares_too_small_for_float32_are_no_votes():
    """A sum of 0 marks a label without a vote, so a vote of 0 would list it twice, beyond the room for labels."""
    made = votes.votes(counted([[(0, 1.0), (1, 1.0), (2, 1.0)]] * 2, [[0], [0]], 3, 1), expected=0)
    labels, scores = votes.candidates(made, build([[(0, 1e-30), (1, 1e-30), (2, 1e-30)], [(0, 1e-30), (1, 1.0)]], 3), 1, power=2.0)
    assert labels.tolist() == [[-1], [0]] and scores[0] == 0 and scores[1] > 0


@given(problems(n_labels=6, width=5))
def test_completed_rankings_hold_every_label(case):
    made = votes.votes(counted(*case), expected=0)
    labels, scores = votes.candidates(made, build(case[0], 5), 6)
    full, full_scores = votes.completed(labels, scores, 6)
    assert np.array_equal(full_scores, scores) and np.array_equal(full[labels >= 0], labels[labels >= 0])
    for line, before in zip(full.tolist(), labels.tolist()):
        voted = [k for k in before if k >= 0]
        assert line == voted + [k for k in range(6) if k not in voted]


# ---- threads, model files, bad input

def test_threads():
    case = drawn(400 if AS_PYTHON else 1500, 5000, 30)  # two blocks of features, blocks of rows
    before, results = numba.get_num_threads(), []
    try:
        for threads in sorted({1, numba.config.NUMBA_NUM_THREADS}):
            numba.set_num_threads(threads)
            counts = counted(*case)
            made = votes.votes(counts)
            results.append((*counts, *votes.merge(counts, counts), *made, *votes.candidates(made, build(case[0], 5000), 9)))
    finally:
        numba.set_num_threads(before)
    assert equal(results[0], results[-1]) and as_dict(counts) == naive.count(*case[:2])[0]


def test_model_files(tmp_path):
    counts = counted(*drawn(20, 6, 5))
    for state in (counts, votes.votes(counts)):
        modelfile.save(tmp_path / "model", state)
        assert equal(modelfile.load(tmp_path / "model", expected=type(state)), state)


@pytest.mark.parametrize("change, message", [
    (lambda c, v: c._replace(indptr=c.indptr[:-1]), "indptr must hold 7 starts"),
    (lambda c, v: c._replace(indptr=c.indptr + 1), "indptr must hold 7 starts from 0 on"),
    (lambda c, v: c._replace(counts=c.counts[:-1]), "labels and counts must hold"),
    (lambda c, v: c._replace(labels=c.labels[:-1]), "labels and counts must hold"),
    (lambda c, v: v._replace(scales=v.scales[:-1]), "starts must hold 6 starts"),
    (lambda c, v: v._replace(starts=v.starts + np.uint32(1)), "starts must hold 7 starts from 0 on"),
    (lambda c, v: v._replace(labels=v.labels[:-1]), "labels and weights must hold"),
    (lambda c, v: v._replace(weights=v.weights[:-1]), "labels and weights must hold"),
])
def test_model_files_whose_parts_do_not_fit(tmp_path, change, message):
    counts = counted(*drawn(20, 6, 5))
    with pytest.raises(ValueError, match=message):
        modelfile.save(tmp_path / "model", change(counts, votes.votes(counts)))


@pytest.mark.parametrize("options, message", [
    (dict(keep=0), "keep must be at least 1"), (dict(threshold=-0.1), "threshold must be at least 0"),
    (dict(feature_power=-1), "feature_power must be"), (dict(label_power=np.nan), "label_power must be"),
    (dict(smoothing=-1), "smoothing must be"), (dict(expected=np.inf), "expected must be"),
])
def test_bad_settings(options, message):
    counts = counted(*drawn(4, 3, 3))
    with pytest.raises(ValueError, match=message):
        votes.votes(counts, **options)


def test_bad_rows():
    rows, labels = build([[(0, 1.0)], [(1, 1.0)]], 2), sparse.rows([[0], [1]])
    made = votes.votes(votes.count(rows, labels))
    with pytest.raises(ValueError, match="as many rows as x, 2, not 1"):
        votes.count(rows, sparse.rows([[0]]))
    with pytest.raises(ValueError, match="x must have 2 columns, not 3"):
        votes.candidates(made, rows._replace(width=3), 1)
    for k in (0, 3):
        with pytest.raises(ValueError, match="k must be between 1 and 2"):
            votes.candidates(made, rows, k)
    with pytest.raises(ValueError, match="power must be at least 0"):
        votes.candidates(made, rows, 1, power=-0.5)
    outside = build([[(0, 1.0)], [(5, 1.0)]], 2)
    for call in (lambda: votes.count(outside, labels), lambda: votes.candidates(made, outside, 1)):
        with pytest.raises(ValueError, match="x row 1 holds column 5, which is outside the width 2"):
            call()
    with pytest.raises(ValueError, match="labels row 1 holds column 5"):
        votes.count(rows, outside)


@given(problems(), problems(), st.sets(st.integers(0, 6)))
def test_inserted_rows_and_erased_labels_count_as_if_it_had_always_been_so(one, more, erased):
    both = [one[0] + more[0], one[1] + more[1], max(one[2], more[2]), max(one[3], more[3])]
    found = votes.insert(counted(*one), build(more[0], more[2]), sparse.rows(more[1], more[3]))
    assert equal(found, counted(*both))
    erased = [label for label in erased if label < both[3]]
    struck = counted(both[0], [[label for label in line if label not in erased] for line in both[1]], *both[2:])
    left = votes.erase(found, np.array(erased, np.int64))
    assert equal(left, struck) and equal(found, counted(*both))
    pairs, features, own, n = naive.erase(naive.count(*both[:2]), erased)
    assert as_dict(left) == pairs and left.rows == n
    assert left.label_rows.tolist() == [own.get(label, 0) for label in range(both[3])]
    assert left.feature_rows.tolist() == [features.get(feature, 0) for feature in range(both[2])]
    if both[3] and left.labels.size:
        ranked, _ = votes.candidates(votes.votes(left, threshold=0.0, expected=0.0), build(both[0], both[2]), both[3])
        assert not np.isin(ranked, erased).any()


def test_labels_that_cannot_be_erased():
    counts = votes.count(sparse.rows([[0]]), sparse.rows([[1]]))
    for wrong in (-1, 2, [0, 2]):
        with pytest.raises(ValueError, match="labels must be between 0 and 1"):
            votes.erase(counts, wrong)
    assert equal(votes.erase(counts, []), counts) and votes.erase(counts, 1).labels.size == 0
