"""The command line and the pipeline under it: what a user types, what is printed and written, and what bad input answers."""
import json
import os
import signal
import subprocess
import sys

import numba
import numpy as np
import pytest

from sketchxc import cli, metrics, modelfile, pipeline, sparse

pytestmark = pytest.mark.compiled  # whole trainings: too slow as Python


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Compiled kernels of these tests stay out of the user's folder; the threads of a run are put back."""
    monkeypatch.setattr(cli._jit, "enable_cache", lambda folder=None: None)
    threads = numba.get_num_threads()
    yield
    numba.set_num_threads(threads)


@pytest.fixture
def xc(tmp_path):
    """Training and test file in which feature i stands for label i % 6, with noise features above 12."""
    rng = np.random.default_rng(0)

    def lines(n):
        for _ in range(n):
            a = rng.integers(12)
            labels = sorted({int(a % 6), int(a // 2)})
            yield f"{','.join(map(str, labels))} {a}:2 {12 + rng.integers(8)}:0.5"

    paths = tmp_path / "train.txt", tmp_path / "test.txt"
    for path, n in zip(paths, (400, 100)):
        path.write_text(f"{n} 20 6\n" + "\n".join(lines(n)) + "\n")
    return paths


@pytest.fixture
def text(tmp_path):
    rng = np.random.default_rng(1)
    words = ["red", "green", "blue"], ["cat", "dog"]

    def line():
        colour, animal = (rng.choice(group) for group in words)
        return f"{animal},{colour}\tA {colour} {animal} number {rng.integers(50)}"

    paths = tmp_path / "train.tsv", tmp_path / "test.tsv"
    for path, n in zip(paths, (300, 60)):
        path.write_text("\n".join(line() for _ in range(n)) + "\n")
    return paths


def run(*words):
    return cli.main([str(word) for word in words])


def test_train_evaluate_predict_info(xc, tmp_path, capsys):
    train, test = xc
    model = tmp_path / "model"
    assert run("train", train, "-o", model, "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert run("evaluate", model, test, "--train", train, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["rows"] == 100 and set(result["p_at"]) == {"1", "3", "5"} and result["p_at"]["1"] > 95
    assert {"ndcg_at", "recall_at", "psp_at", "predict_ms"} < set(result)
    assert run("predict", model, test, "-k", 3, "-o", tmp_path / "out.txt") == 0
    lines = (tmp_path / "out.txt").read_text().splitlines()
    data, labels, _ = pipeline.read(str(test))
    ranked = np.array([[int(pair.split(":")[0]) for pair in line.split()] for line in lines])
    assert ranked.shape == (100, 3)
    assert 100 * metrics.precision_at(ranked.astype(np.int32), labels, 1) == pytest.approx(result["p_at"]["1"])
    assert run("predict", model, test, "-k", 3, "--threshold", 0.5, "-o", tmp_path / "likely.txt") == 0
    for line, likely in zip(lines, (tmp_path / "likely.txt").read_text().splitlines(), strict=True):
        assert likely.split() == [pair for pair in line.split() if float(pair.split(":")[1]) >= 0.5]
    assert run("info", model, "--json") == 0
    info = json.loads(capsys.readouterr().out)
    assert info["bytes_on_disk"] == os.path.getsize(model) and info["one_vs_all_bytes"] == 4 * 21 * 6 and info["settings"]["rows"] == 400


@pytest.mark.parametrize("kind, words", [("mach", "MACH, R="), ("best", "best: votes of features")])
def test_plain_outputs_for_people(xc, tmp_path, capsys, kind, words):
    train, test = xc
    assert run("train", train, "-o", tmp_path / "model", "--validation", "0.2", "--model", kind) == 0
    shown = capsys.readouterr().err
    assert words in shown and "validation P@1" in shown and "wrote" in shown and "loss" in shown
    assert run("evaluate", tmp_path / "model", test) == 0
    assert "P@1" in capsys.readouterr().out
    assert run("info", tmp_path / "model") == 0
    assert "one-vs-all would take" in capsys.readouterr().out
    assert run("predict", tmp_path / "model", test) == 0
    assert len(capsys.readouterr().out.splitlines()) == 100


def test_texts_with_named_labels(text, tmp_path, capsys):
    train, test = text
    model = tmp_path / "model"
    assert run("train", train, "-o", model, "--quiet", "--model", "linear") == 0
    assert run("evaluate", model, test, "--json", "-k", 2) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["p_at"]) == {"1", "2"} and result["p_at"]["2"] > 95
    (tmp_path / "queries.txt").write_text("the blue dog\nred CAT\n")
    assert run("predict", model, tmp_path / "queries.txt", "-k", 2) == 0
    found = [{pair.split(":")[0] for pair in line.split()} for line in capsys.readouterr().out.splitlines()]
    assert found == [{"blue", "dog"}, {"red", "cat"}]


def test_unknown_names_count_as_missed_labels(text, tmp_path, capsys):
    train, _ = text
    assert run("train", train, "-o", tmp_path / "model", "--quiet") == 0
    (tmp_path / "odd.tsv").write_text("mauve\ta red cat\nred,cat\ta red cat\n")
    assert run("evaluate", tmp_path / "model", tmp_path / "odd.tsv", "--json", "-k", 1) == 0
    assert json.loads(capsys.readouterr().out)["p_at"]["1"] == 50


@pytest.mark.parametrize("options", [(), ("--model", "fast"), ("--model", "mach"), ("--hidden", "8"), ("--optimizer", "adagrad"),
                                     ("--model", "linear"), ("--lookup", "learned"), ("--lookup", "shared")])
def test_same_seed_same_bytes_for_any_number_of_threads(xc, tmp_path, options):
    counts = [t for t in (1, 2) if t <= numba.config.NUMBA_NUM_THREADS]
    for t in counts:
        assert run("train", xc[0], "-o", tmp_path / f"model{t}", "--quiet", "--threads", t, "--seed", 7, *options) == 0
    assert len({(tmp_path / f"model{t}").read_bytes() for t in counts}) == 1


@pytest.mark.parametrize("truth, loss", [([[0], [1]], "softmax"), ([[0], []], "logistic"), ([[0, 1], [0]], "logistic")])
def test_one_label_in_every_row_asks_for_softmax(truth, loss):
    for kind in ("mach", "linear"):
        assert pipeline.train(sparse.rows([[0], [1]]), sparse.rows(truth, 2), kind=kind, dry_run=True)[1].loss == loss


def test_another_seed_gives_another_model(xc, tmp_path):
    for seed in (1, 2):
        assert run("train", xc[0], "-o", tmp_path / f"model{seed}", "--quiet", "--seed", seed) == 0
    assert (tmp_path / "model1").read_bytes() != (tmp_path / "model2").read_bytes()


@pytest.mark.parametrize("kind", ["best", "fast", "small", "mach", "linear"])
@pytest.mark.parametrize("content", ["1 1 1\n0 0:1\n", "3 2 2\n0 0:1\n \n1 1:1\n"])
def test_tiny_sets_are_taken(tmp_path, capsys, kind, content):
    (tmp_path / "train.txt").write_text(content)
    assert run("train", tmp_path / "train.txt", "-o", tmp_path / "model", "--quiet", "--model", kind) == 0
    assert run("evaluate", tmp_path / "model", tmp_path / "train.txt", "--json") == 0


def test_kinds_that_choose_for_themselves_refuse_settings(xc, tmp_path, capsys):
    assert run("train", xc[0], "-o", tmp_path / "model", "--model", "best", "--buckets", 4) == 1
    assert "go with --model mach or linear" in capsys.readouterr().err


def test_dry_run_prints_the_plan_and_writes_nothing(xc, tmp_path, capsys):
    assert run("train", xc[0], "-o", tmp_path / "model", "--dry-run", "--buckets", 4, "--repetitions", 3) == 0
    assert "R=3 repetitions of B=4 buckets" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("content, message", [
    ("2 3 2\n0 0:1\n1 x:1\n", "train.txt:3: found"), ("2 3 2\n0 0:1\n5 1:1\n", "train.txt:3: found"),
    ("3 3 2\n0 0:1\n1 1:1\n", "train.txt:"),
    ("2 3 2\n0 0:1\n1 7:1\n", "train.txt:3: found"), ("2 3 2\n0 0:nan\n1 1:1\n", "train.txt:2: found"), ("", "empty"),
    ("2 3 2\n0 0:1\n1 1:1 1:2\n", "train.txt:3: found"), ("2 3 2\n0 -1:1\n1 1:1\n", "train.txt:2: found"),
    ("2 3 2\n 0:1\n 1:1\n", "labels must hold")])
def test_bad_training_files_are_named(tmp_path, capsys, content, message):
    (tmp_path / "train.txt").write_text(content)
    assert run("train", tmp_path / "train.txt", "-o", tmp_path / "model", "--quiet") == 1
    assert message in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["train.txt"]


def test_bad_use_is_answered(xc, tmp_path, capsys):
    train, test = xc
    assert run("train", tmp_path / "none.txt", "-o", tmp_path / "model") == 1
    assert "none.txt" in capsys.readouterr().err
    assert run("train", train, "-o", tmp_path / "no" / "model") == 1
    assert "cannot be written" in capsys.readouterr().err
    assert run("evaluate", train, test) == 1
    assert "not a safetensors file" in capsys.readouterr().err
    assert run("train", train, "-o", tmp_path / "model", "--quiet", "--threads", 10**4) == 2
    assert run("train", train, "-o", tmp_path / "model", "--quiet", "--learning-rate", "3e38") == 1
    assert "loss became" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert run("train", train, "-o", tmp_path / "model", "--quiet") == 0
    wide = tmp_path / "wide.txt"
    wide.write_text("1 30 6\n0 29:1\n")
    assert run("evaluate", tmp_path / "model", wide) == 1
    assert "30 features, the model was trained on 20" in capsys.readouterr().err
    (tmp_path / "texts.tsv").write_text("1\tsome text\n")
    assert run("evaluate", tmp_path / "model", tmp_path / "texts.tsv") == 1
    assert "the model was trained on rows of numbers" in capsys.readouterr().err
    for words in (["--hidden", "1,2,3"], ["--memory", "much"], ["--time", "0"], ["--time", "soon"], ["--validation"]):
        with pytest.raises(SystemExit) as caught:
            run("train", train, "-o", tmp_path / "model", *words)
        assert caught.value.code == 2


def test_budgets_are_part_of_the_plan(xc, tmp_path, capsys):
    train, _ = xc
    assert run("train", train, "-o", tmp_path / "model", "--dry-run", "--time", "1m", "--memory", "1G") == 0
    assert "best:" in capsys.readouterr().err
    assert run("train", train, "-o", tmp_path / "model", "--dry-run", "--memory", "100") == 1
    assert "the budgets are too small: best would take" in capsys.readouterr().err
    assert run("train", train, "-o", tmp_path / "model", "--dry-run", "--model", "mach", "--time", "1e-9s") == 0
    assert " 1 epochs" in capsys.readouterr().err
    assert run("train", train, "-o", tmp_path / "model", "--dry-run", "--tail", "amazon") == 0
    assert "propensity-scored" in capsys.readouterr().err
    assert run("train", train, "-o", tmp_path / "model", "--model", "mach", "--tail", "amazon") == 1
    assert "tail needs probabilities" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()
    assert run("train", train, "-o", tmp_path / "model", "--model", "mach", "--epochs", 1, "--quiet") == 0
    assert run("predict", tmp_path / "model", train, "--threshold", "0.5") == 1
    assert "--threshold needs probabilities" in capsys.readouterr().err


def test_rows_without_features_or_labels_are_taken(tmp_path, capsys):
    (tmp_path / "train.txt").write_text("4 3 2\n0 0:1\n \n1 1:1\n 2:1\n")
    assert run("train", tmp_path / "train.txt", "-o", tmp_path / "model", "--quiet", "--model", "mach") == 0
    assert run("evaluate", tmp_path / "model", tmp_path / "train.txt", "--json", "-k", 1) == 0
    assert json.loads(capsys.readouterr().out)["p_at"]["1"] == 50


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("blow, status", [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_stopped_training_leaves_no_model(xc, tmp_path, blow, status):
    command = [sys.executable, "-m", "sketchxc.cli", "train", str(xc[0]), "-o", str(tmp_path / "model"), "--model", "mach",
               "--epochs", "1000000"]
    environment = dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache"))
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:
        seen = b""
        while b"loss" not in seen:  # the training has begun
            seen += process.stderr.read1(4096)
            assert process.poll() is None, seen
        for _ in range(20):  # an interrupt that arrives inside a callback of the interpreter is lost: people press twice, too
            process.send_signal(blow)
            try:
                process.communicate(timeout=3)
                break
            except subprocess.TimeoutExpired:
                continue
        process.kill()
        assert process.wait(10) == status
    assert not [name for name in os.listdir(tmp_path) if "model" in name]


def test_encoders_keep_rows_at_length_one():
    x = sparse.rows(np.array([[3.0, 4.0, 0.0], [-1.0, 0.0, 0.0]], np.float32))
    encoder = pipeline.row_encoder(x)
    assert encoder.weights.size == 0  # a negative number: no counts
    rows = pipeline.encode(encoder, x)
    assert rows.values.tolist() == [pytest.approx(0.6), pytest.approx(0.8), -1]
    with pytest.raises(ValueError, match="3 columns as in training, not 4"):
        pipeline.encode(encoder, np.ones((1, 4), np.float32))
    encoder, rows = pipeline.text_encoder(["one two", "two three", "!"], bins=64)
    assert encoder.vocabulary.size == 3 and encoder.width == rows.width == 67
    lengths = np.add.reduceat(rows.values**2, rows.indptr[:-2])
    assert lengths == pytest.approx(1, abs=1e-6)
    assert pipeline.encode(encoder, ["one two"]).values.tolist() == rows.values[:rows.indptr[1]].tolist()
    assert rows.indices.max() < 3 <= pipeline.encode(encoder, ["four"]).indices[0]


def test_encoders_of_texts_need_a_word():
    with pytest.raises(ValueError, match="at least one word"):
        pipeline.text_encoder(["!", ""])
    encoder, rows = pipeline.text_encoder(["one two", "two"], size=1)
    assert rows.width == 1 and rows.indices.tolist() == [0, 0]  # "two" is the more frequent word, "one" is left out
    assert pipeline.encode(encoder, ["one"]).indices.size == 0


def test_counts_are_weighted_by_rarity_and_unit_rows_are_not():
    counts = sparse.rows(np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 0.0], [1.0, 0.0, 0.0]], np.float32))
    encoder = pipeline.row_encoder(counts)
    assert encoder.weights == pytest.approx(np.log(4 / np.array([4.0, 2.0, 2.0])) + 1)
    expected = np.log1p([1.0, 2.0]) * encoder.weights[[0, 2]]
    assert pipeline.encode(encoder, counts).values[:2] == pytest.approx(expected / np.linalg.norm(expected), rel=1e-6)
    assert pipeline.row_encoder(sparse.normalize(counts)).weights.size == 0


def test_model_files_load_as_they_were(xc, tmp_path):
    data, labels, _ = pipeline.read(str(xc[0]))
    classifier, _, _ = pipeline.train(data, labels, names=list("abcdef"), kind="mach", epochs=1)
    modelfile.save(tmp_path / "model", classifier)
    again = modelfile.load(tmp_path / "model", expected=pipeline.Classifier, verify=True)
    assert pipeline.label_names(again) == list("abcdef")
    for one, other in zip(pipeline.predict(classifier, data, 4), pipeline.predict(again, data, 4)):
        assert np.array_equal(one, other)
