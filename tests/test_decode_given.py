"""Scores of given labels: the naive loop, those of the best labels, bad input."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import decode as naive
from test_decode import ALL, cases

from sketchxc import decode, lookup


@given(cases(), st.sampled_from(ALL), st.booleans(), st.integers(0, 6))
def test_given_labels_score_as_in_the_naive_loop(case, how, softmax, m):
    scores, own, _ = case
    shortlist = np.random.default_rng(m).integers(-1, own.n_labels, (scores.shape[1], m)).astype(np.int32)
    got = decode.shortlist_scores(scores.copy(), own, shortlist, how=how, softmax=softmax)
    assert got.dtype == np.float32 and got.shape == shortlist.shape
    table = lookup.label_buckets(own).tolist()
    for i in range(scores.shape[1]):
        wanted = naive.label_scores(scores[:, i].tolist(), table, "mean" if how == "unbiased" else how, softmax)
        np.testing.assert_allclose(got[i], [wanted[label] if label >= 0 else 0.0 for label in shortlist[i]], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("how", [how for how in ALL if how != "unbiased"])
def test_given_labels_score_as_the_best(how):
    own = lookup.hashed(12, reps=3, buckets=5)
    scores = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    labels, best = decode.top_k(scores.copy(), own, 12, how=how)
    assert np.array_equal(decode.shortlist_scores(scores, own, labels, how=how), best)


@pytest.mark.parametrize("change, message", [
    (dict(shortlist=[[12]]), "shortlist must hold labels between -1 and 11, not 12"),
    (dict(shortlist=[[-2]]), "shortlist must hold labels between -1 and 11, not -2"),
    (dict(shortlist=[[0], [1]]), "shortlist must have as many rows as scores, 1, not 2"),
    (dict(scores=np.zeros((3, 1, 4), np.float32)), r"scores must be float32 \(3, n, 5\)"),
    (dict(scores=np.zeros((3, 1, 5))), r"scores must be float32 \(3, n, 5\), not float64"),
    (dict(how="most"), "how must be one of"),
])
def test_bad_given_labels(change, message):
    scores = np.zeros((3, 1, 5), np.float32)
    asked = dict(scores=scores, lookup=lookup.hashed(12, reps=3, buckets=5), shortlist=[[0]], how="mean") | change
    asked["shortlist"] = np.array(asked["shortlist"], np.int32)
    with pytest.raises(ValueError, match=message):
        decode.shortlist_scores(**asked)
    assert not scores.any()  # nothing was overwritten
