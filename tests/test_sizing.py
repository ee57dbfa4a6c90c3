"""The plan: settings that fit the budget, warnings that are true, and the texts that people read."""
import math

import pytest
from hypothesis import given, strategies as st

from sketchxc import sizing

SIZES = dict(rows=st.integers(1, 10**7), features=st.integers(1, 10**6), labels=st.integers(1, 3 * 10**6))


@given(**SIZES, budget=st.integers(10**7, 10**10), single=st.booleans(), optimizer=st.sampled_from([None, "sgd", "adagrad", "adam"]))
def test_plan_stays_within_its_budget_or_says_so(rows, features, labels, budget, single, optimizer):
    try:
        plan = sizing.plan(rows, features, labels, budget, single=single, optimizer=optimizer)
    except ValueError as error:
        assert "budget" in str(error)
        return
    copies = 1 + sizing.MOMENTS[plan.optimizer]
    cells = plan.width or features
    assert plan.model_bytes == 4 * plan.reps * plan.buckets * (cells + 1)
    assert plan.model_bytes * copies <= budget
    assert plan.loss == ("softmax" if single else "logistic")
    assert plan.one_vs_all_bytes == 4 * (features + 1) * labels
    larger = any("larger than one-vs-all" in text for text in plan.warnings)
    assert larger == (plan.model_bytes > plan.one_vs_all_bytes)


@given(labels=st.integers(2, 10**6), buckets=st.integers(2, 10**4), reps=st.integers(1, 20))
def test_warning_when_labels_cannot_be_told_apart(labels, buckets, reps):
    plan = sizing.plan(1000, 10, labels, 10**12, buckets=buckets, reps=reps)
    enough = reps >= 2 * math.log(labels / 0.1) / math.log(buckets)
    assert any("may share all buckets" in text for text in plan.warnings) != enough


def test_given_settings_are_kept():
    plan = sizing.plan(100, 50, 1000, reps=3, buckets=7, hidden=(8, 4), width=16, loss="logistic", optimizer="momentum", lr=0.5, batch=9,
                       epochs=2, seed=5)
    assert plan[:11] == ("mach", 3, 7, (8, 4), 16, "logistic", "momentum", 0.5, 9, 2, 5)
    assert plan.model_bytes == 4 * 3 * ((16 + 1) * 8 + (8 + 1) * 4 + (4 + 1) * 7)


def test_a_shared_output_has_as_many_buckets_as_hashing():
    hashed, learned, own = (sizing.plan(100, 50, 5000, lookup=kind) for kind in sizing.LOOKUPS)
    assert (own.reps, own.buckets, own.probes, hashed.probes) == (1, hashed.reps * hashed.buckets, 16, 1)
    assert own.model_bytes == hashed.model_bytes and "one shared output of B=" in str(own) and "16 for each label" in str(own)
    assert learned == hashed._replace(lookup="learned") and "buckets, learned" in str(learned) and not own.warnings
    own = sizing.plan(100, 50, 5000, lookup="shared", reps=9, buckets=7)
    assert (own.reps, own.buckets, own.probes) == (1, 7, 7)
    assert any("learns no buckets" in text for text in sizing.plan(100, 50, 5000, lookup="learned", epochs=1).warnings)


def test_linear_is_one_vs_all():
    plan = sizing.plan(100, 50, 30, kind="linear")
    assert (plan.reps, plan.buckets, plan.model_bytes) == (1, 30, plan.one_vs_all_bytes)


def test_text_names_sizes_and_warnings():
    plan = sizing.plan(1000, 50, 30)
    text = str(plan)
    assert f"R={plan.reps}" in text and f"B={plan.buckets}" in text and "one-vs-all would take" in text and "warning" in text


@pytest.mark.parametrize("change, message", [
    (dict(rows=0), "rows must be at least 1"), (dict(labels=0), "labels must be at least 1"),
    (dict(features=0), "features must be at least 1"),
    (dict(kind="tree"), "kind must be one of"), (dict(optimizer="lion"), "optimizer must be one of"), (dict(loss="hinge"), "loss must be"),
    (dict(lr=-1.0), "lr must be above 0"), (dict(epochs=0), "epochs must be at least 1"), (dict(batch=0), "batch must be at least 1"),
    (dict(budget=1000), "budget allows"), (dict(buckets=0), "buckets must be at least 1"), (dict(reps=0), "reps must be at least 1"),
    (dict(lookup="tree"), "lookup must be one of"), (dict(lookup="shared", kind="linear"), "lookup must be 'hashed' for kind 'linear'"),
    (dict(lookup="shared", reps=0), "reps must be at least 1"), (dict(lookup="shared", buckets=0), "buckets must be at least 1"),
    (dict(hidden=(0,)), "hidden must be at least 1")])
def test_bad_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        sizing.plan(**(dict(rows=10, features=10**6, labels=1000) | change))
