"""One shared output: distinct buckets, decoding and training of several buckets for each label, the unbiased estimator, files."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machs import LOSSES, problem, rows_of, same
from naive import decode as naive_decode
from naive import lookup as naive
from strategies import SEEDS
from test_decode import agree

from sketchxc import decode, lookup, mach, modelfile, optim, partition, shallow

pytestmark = pytest.mark.usefixtures("one_thread")


@st.composite
def cases(draw):
    """Integer logits (1, n, buckets), a shared lookup, k."""
    buckets, n_labels = draw(st.integers(1, 9)), draw(st.integers(1, 30))
    own = lookup.shared(n_labels, probes=draw(st.integers(1, buckets)), buckets=buckets, seed=draw(SEEDS))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.integers(-3, 4, (1, draw(st.integers(1, 4)), buckets)).astype(np.float32), own, draw(st.integers(1, n_labels))


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 40), SEEDS)
def test_every_label_has_distinct_buckets(n_labels, probes, spare, seed):
    own = lookup.shared(n_labels, probes=probes, buckets=probes + spare, seed=seed)
    assert own.table.T.tolist() == naive.shared(n_labels, probes, probes + spare, seed)
    assert (own.reps, own.probes, own.buckets, own.table.dtype) == (1, probes, probes + spare, np.int32)
    assert all(len(set(label)) == probes for label in own.table.T.tolist())


def test_one_probe_is_one_repetition():
    hashed, own = (kind(50, buckets=7, seed=3, **more) for kind, more in ((lookup.hashed, {"reps": 1}), (lookup.shared, {"probes": 1})))
    assert np.array_equal(lookup.label_buckets(hashed), own.table) and np.array_equal(hashed.seeds, own.seeds)


def test_labels_that_come_or_go_leave_the_others():
    few, many = (lookup.shared(n, probes=3, buckets=20, seed=1).table for n in (20, 50))
    assert np.array_equal(few, many[:, :20])


@given(cases())
def test_inverse_holds_every_label_of_a_bucket(case):
    _, own, _ = case
    offsets, order = lookup.inverse(own.table, own.buckets, own.probes)
    found = [order[0, offsets[0, b]:offsets[0, b + 1]].tolist() for b in range(own.buckets)]
    assert found == [[label for label in range(own.n_labels) if b in own.table[:, label]] for b in range(own.buckets)]


@given(cases(), st.sampled_from(["logit", "mean", "log", "min", "median"]), st.booleans())
def test_decoding_takes_all_buckets_of_a_label(case, how, softmax):
    scores, own, k = case
    as_repetitions = np.repeat(scores, own.probes, axis=0)  # the twin reads one block of scores for each probe
    agree(decode.top_k(scores.copy(), own, k, how=how, softmax=softmax), as_repetitions, own, k, how, softmax)
    every = np.tile(np.arange(own.n_labels, dtype=np.int32), (scores.shape[1], 1))
    found = decode.shortlist_scores(scores.copy(), own, every, how=how, softmax=softmax)
    wanted = [naive_decode.label_scores(as_repetitions[:, i].tolist(), own.table.tolist(), how, softmax) for i in range(len(every))]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=2e-6)


@given(cases(), st.integers(1, 9), st.integers(1, 9))
def test_pruned_decoding_takes_labels_of_the_best_buckets(case, top, least):
    scores, own, k = case
    found = decode.top_k(scores.copy(), own, k, top=top, least=least)
    narrow = min(top, own.buckets), min(least, own.probes)
    agree(found, np.repeat(scores, own.probes, axis=0), own, k, "logit", narrow=narrow)
    same(decode.top_k(scores.copy(), own, k, top=own.buckets, least=1), decode.top_k(scores.copy(), own, k))


@LOSSES
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), probes=st.integers(1, 5))
def test_training_is_one_vs_all_of_the_buckets(loss, seed, probes):
    own = lookup.shared(12, probes=probes, buckets=5, seed=seed)
    model, x, y, rng = problem(seed, own=own, loss=loss)
    plain = model._replace(weights=model.weights.copy(), biases=model.biases.copy(), lookup=lookup.identity(5))
    hit = [sorted({int(b) for label in labels for b in own.table[:, label]}) for labels in y]
    opt, order = optim.adam(0.1), rng.permutation(9)
    losses = [mach.train(one, opt, mach.slots(opt, one), x, rows_of(labels, width), order, batch=4)
              for one, labels, width in ((model, y, 12), (plain, hit, 5))]
    same([model.weights, model.biases], [plain.weights, plain.biases])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_a_net_with_one_encoder():
    own = lookup.shared(12, probes=3, buckets=5)
    _, x, y, _ = problem(4)
    nets = [shallow.init(7, one, hidden=(4,)) for one in (own, lookup.identity(5))]
    hit = [sorted({int(b) for label in labels for b in own.table[:, label]}) for labels in y]
    for net, labels, width in zip(nets, (y, hit), (12, 5)):
        opt = optim.sgd(0.1)
        shallow.train(net, opt, shallow.slots(opt, net), x, rows_of(labels, width), np.arange(9), batch=4)
    same([nets[0].embed, nets[0].weights], [nets[1].embed, nets[1].weights])


@pytest.mark.parametrize("error, changed, message", [
    (ValueError, {"n_labels": 0}, "n_labels must be between 1"),
    (ValueError, {"probes": 0}, "probes must be between 1 and 4"),
    (ValueError, {"probes": 5}, "probes must be between 1 and 4"),
    (TypeError, {"probes": 2.0}, "probes must be an integer"),
    (ValueError, {"buckets": 0}, "buckets must be between 1"),
    (TypeError, {"seed": None}, "seed must be an integer"),
])
def test_bad_numbers(error, changed, message):
    with pytest.raises(error, match=message):
        lookup.shared(**({"n_labels": 3, "probes": 2, "buckets": 4} | changed))


def test_labels_of_several_buckets_do_not_move():
    with pytest.raises(ValueError, match="lookup must have one bucket a label and repetition, not 2"):
        partition.assign(lookup.shared(3, probes=2, buckets=4), [[[0], [1], [2]]], [1, 1, 1])


def test_files_keep_the_buckets(tmp_path):
    own = lookup.shared(12, probes=3, buckets=5, seed=8)
    modelfile.save(tmp_path / "own", own)
    found = modelfile.load(tmp_path / "own")
    assert (found.reps, found.probes) == (1, 3) and np.array_equal(found.table, own.table)
    for wrong in ({"seeds": own.seeds[:0]}, {"seeds": np.zeros(2, np.uint64)}, {"table": own.table[:, :0]}):
        with pytest.raises(ValueError, match="seeds must hold"):
            lookup._validate(own._replace(**wrong))


@pytest.mark.slow
@pytest.mark.parametrize("softmax", [False, True])
def test_the_estimator_is_unbiased(softmax):
    """Mean over 2,000 hash seeds: within 7 standard errors for each of 40 labels, which chance breaks once in 10**10 runs."""
    chances = np.random.default_rng(0).dirichlet(np.full(40, 0.3))
    every = []
    for seed in range(2000):
        own = lookup.shared(40, probes=4, buckets=32, seed=seed)
        activity = np.bincount(own.table.ravel(), np.tile(chances, 4), 32).clip(1e-9, 1 - 1e-9)
        logits = np.log(activity) - (0.0 if softmax else np.log1p(-activity))
        labels, values = decode.top_k(logits.astype(np.float32)[None, None], own, 40, how="unbiased", softmax=softmax)
        every.append(values[0][np.argsort(labels[0])])
    error = (np.mean(every, axis=0) - chances) / (np.std(every, axis=0) / np.sqrt(2000) + 1e-6)
    assert np.abs(error).max() < 7
