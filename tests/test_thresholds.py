"""Thresholds: the best of F1, for all labels together and for each."""
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import thresholds as naive
from strategies import labels_and_ranking

from sketchxc import thresholds
from sketchxc.sparse import rows


@given(labels_and_ranking(), st.data())
def test_twins(case, data):
    labels, ranked, n_labels = case
    few = st.sampled_from([0.25, 0.5, 0.75])  # so that scores are equal often
    scores = np.array(data.draw(st.lists(few, min_size=ranked.size, max_size=ranked.size)), np.float32).reshape(ranked.shape)
    true = rows(labels, n_labels)
    entries = [(label, float(score), label in labels[i]) for i in range(len(labels))
               for label, score in zip(ranked[i].tolist(), scores[i]) if label >= 0]
    one = thresholds.best_threshold(ranked, scores, true)
    assert one == naive.threshold([(score, hit) for _, score, hit in entries], sum(map(len, labels)))
    each = thresholds.label_thresholds(ranked, scores, true)
    assert each.shape == (n_labels,)
    for label in range(n_labels):
        own = [(score, hit) for name, score, hit in entries if name == label]
        assert each[label] == naive.threshold(own, sum(label in line for line in labels))
    for bar in (one, each):
        taken = thresholds.accepted(ranked, scores, bar)
        for i in range(len(labels)):
            for c, label in enumerate(ranked[i].tolist()):
                above = label >= 0 and scores[i, c] >= (bar if np.ndim(bar) == 0 else bar[label])
                assert taken[i, c] == (label if above else -1)


def test_equal_f1_takes_the_largest_score():
    ranked, scores = np.array([[0], [0], [0], [0], [0]]), np.array([[0.5], [0.25], [0.25], [0.25], [0.25]])
    true = rows([[0], [0], [], [], []], 1)  # F1 is 2 / 3 at the score 0.5 and 4 / 7 at 0.25
    assert thresholds.best_threshold(ranked, scores, true) == 0.5
    true = rows([[0], [0], [0], [], []], 1)  # a third truth: 2 / 4 at 0.5 and 6 / 8 at 0.25
    assert thresholds.best_threshold(ranked, scores, true) == 0.25
    ranked = np.vstack([ranked, [[-1]]])
    scores = np.vstack([scores, [[0]]])
    true = rows([[0], [0], [], [], [], [0]], 1)  # 2 / 4 at 0.5 and 4 / 8 at 0.25
    assert thresholds.best_threshold(ranked, scores, true) == thresholds.label_thresholds(ranked, scores, true)[0] == 0.5


def test_bad_input():
    ranked, scores, labels = np.array([[0, 1]]), np.array([[0.5, 0.25]]), rows([[0]], 2)
    for call in (thresholds.best_threshold, thresholds.label_thresholds):
        with pytest.raises(ValueError, match=r"scores must have the shape of ranked, \(1, 2\), not \(1, 1\)"):
            call(ranked, scores[:, :1], labels)
        with pytest.raises(ValueError, match="NaN"):
            call(ranked, scores * np.nan, labels)
        with pytest.raises(ValueError, match="same number of rows"):
            call(ranked, scores, rows([[0], [1]], 2))
    with pytest.raises(ValueError, match="each label up to 1, not 1"):
        thresholds.accepted(ranked, scores, [0.5])
    with pytest.raises(ValueError, match="threshold"):
        thresholds.accepted(ranked, scores, [[0.5]])
