"""The main job on data that every Python carries: find a Unicode character by a shuffled and misspelt form of its name."""
import contextlib
import os
import random
import sys
import time
import unicodedata

import numpy as np

from . import _jit, fit, metrics, modelfile, pipeline, sizing, sparse
from .sizing import megabytes

LETTERS = "abcdefghijklmnopqrstuvwxyz"
COPIES = 16      # training queries of a character; the first is its name
HELD_OUT = 10_000
TEXT = {"size": 0, "bins": 1 << 14, "words": (1, 2), "chars": (3, 3)}
# 6 x 336 columns are 2,016 and cut into 6 equal tasks; fewer, wider repetitions score the same, more and narrower ones less (measured)
SETTINGS = {"reps": 6, "buckets": 336, "loss": "softmax", "lr": 120.0, "batch": 32, "epochs": 2}
EXAMPLES = ("gren hart", "smilling eyes fase", "snwoman without snow", "arow double rihgtwards", "musical cleff g symbol",
            "greek letter small alpa")


def names():
    """Lower-case names of the named characters, in the order of their code points. Returns list of str.

    Names that are made from the code point (CJK, Tangut and Khitan ideographs, Nushu) or from the parts of a Hangul syllable are left out.

    >>> names()[0], names()[33]
    ('space', 'latin capital letter a')
    """
    found = ((point, unicodedata.name(chr(point), "")) for point in range(sys.maxunicode + 1))
    return [name.lower() for point, name in found
            if name and not name.endswith(f"-{point:X}") and not name.startswith("HANGUL SYLLABLE ")]


def misspelt(text, draw):
    """The text with one letter inserted, lost, changed, or swapped with the next one; digits and spaces stay.

    text : str, lower case, with a letter.  draw : random.Random.  Returns str, another one than `text`."""
    places = [i for i, character in enumerate(text) if character in LETTERS]
    wrong = text
    while wrong == text:
        i, kind, letter = draw.choice(places), draw.randrange(4), draw.choice(LETTERS)
        if kind == 0:
            wrong = text[:i] + letter + text[i:]
        elif kind == 1:
            wrong = text[:i] + text[i + 1:]
        elif kind == 2:
            wrong = text[:i] + letter + text[i + 1:]
        elif text[i + 1:i + 2] in LETTERS:
            wrong = text[:i] + text[i + 1:i + 2] + text[i] + text[i + 2:]
    return wrong


def shuffled(name, draw, lost=0):
    """The words of a name in another order, `lost` of them left out (one always stays).  Returns str."""
    words = name.split(" ")
    draw.shuffle(words)
    return " ".join(words[:max(1, len(words) - lost)])


def training_queries(characters, copies=COPIES, seed=1):
    """Queries to train on: every name itself, and `copies` - 1 times shuffled and misspelt, one time in three without one of its words.

    characters : list of str, names.  Returns list of str, the queries of a character one after the other."""
    draw = random.Random(seed)
    queries = []
    for name in characters:
        queries.append(name)
        queries += [misspelt(shuffled(name, draw, draw.randrange(3) == 0), draw) for _ in range(copies - 1)]
    return queries


def held_out_queries(characters, training, lost, size=HELD_OUT, seed=2):
    """Queries of `size` different characters, shuffled and misspelt, that hold other words than every training query.

    characters : list of str.  training : set of `bag` of the training queries.  lost : int, words left out (names of fewer are skipped).
    Returns list of str and int64 (n,), the characters meant; n is smaller than `size` by the queries left out."""
    draw = random.Random(seed)
    queries, meant = [], []
    for label in draw.sample(range(len(characters)), min(size, len(characters))):
        if characters[label].count(" ") >= lost:
            query = misspelt(shuffled(characters[label], draw, lost), draw)
            if bag(query) not in training:
                queries.append(query)
                meant.append(label)
    return queries, np.array(meant, np.int64)


def bag(query):
    """The words of a query whatever their order, to compare it with others."""
    return " ".join(sorted(query.split()))


def label_rows(labels, width):
    """Rows with one label each.  labels : integers (n,).  width : int.  Returns Rows."""
    return sparse.Rows(np.arange(len(labels) + 1), np.asarray(labels, np.int32), np.ones(len(labels), np.float32), width)


def train(characters, queries, *, threads=1, quiet=False):
    """Train on queries that come in equal numbers for each character; shows a progress bar unless `quiet`.

    Returns (Classifier, Plan)."""
    from tqdm import tqdm
    encoder, x = pipeline.text_encoder(queries, **TEXT)
    labels = label_rows(np.repeat(np.arange(len(characters)), len(queries) // len(characters)), len(characters))
    plan = sizing.plan(len(queries), x.width, labels.width, nonzeros=x.indices.size, threads=threads, **SETTINGS)
    model = fit.untrained(plan, x.width, labels.width)
    with tqdm(total=plan.epochs * len(queries), desc="training", unit="query", unit_scale=True, file=sys.stderr, mininterval=0.5,
              dynamic_ncols=True, disable=quiet) as bar:
        def progress(done, loss):
            bar.update(done)
            bar.set_postfix_str(f"loss {loss:.3f}", refresh=False)
        fit.fit(model, plan, x, labels, progress=progress)
    return pipeline.Classifier(encoder, model, *modelfile.pack_strings(characters), "logit"), plan


def best(classifier, query, k=5):
    """The k best characters for a query: list of (character, name in capitals).

    Raises ValueError for a query without a letter or digit."""
    _check_query(query)
    ranked, _ = pipeline.predict(classifier, [query], k)
    known = pipeline.label_names(classifier)
    return [(unicodedata.lookup(known[label]), known[label].upper()) for label in ranked[0] if label >= 0]


def _check_query(query):
    if not any(map(str.isalnum, query)):
        raise ValueError(f"query must hold a letter or a digit, not {query!r}")


def run(query=None, threads=1, quiet=False):
    """Train, measure and print; or answer one query, with the model of an earlier run if its file is still there and fits.

    query : str or None.  threads : int, for the plan.  quiet : no progress bar.
    The model is kept in the user's cache folder, beside the compiled kernels."""
    start = time.perf_counter()
    if query is not None:
        _check_query(query)
        _print_best(_kept() or _trained(threads, quiet)[0], query)
        return
    classifier, plan, characters, queries = _trained(threads, quiet)
    trained = time.perf_counter() - start
    print(f"{len(characters):,} characters of Unicode {unicodedata.unidata_version}, {len(queries):,} training queries, "
          f"made and trained on in {trained:.0f} s with compilation")
    print(f"memory: MACH with R={plan.reps} repetitions of B={plan.buckets} buckets {megabytes(plan.model_bytes)}, one-vs-all "
          f"{megabytes(plan.one_vs_all_bytes)}, {plan.one_vs_all_bytes / plan.model_bytes:.0f} times as much")
    known = set(map(bag, queries))
    for lost, title in enumerate(("words shuffled, one letter wrong", "the same, one word left out   ")):
        texts, meant = held_out_queries(characters, known, lost)
        ranked, _ = pipeline.predict(classifier, texts, 10)
        labels = label_rows(meant, len(characters))
        print(f"{title} " + "  ".join(f"Recall@{k} {100 * metrics.recall_at(ranked, labels, k):.1f}" for k in (1, 5, 10))
              + f"  ({len(texts):,} held-out queries)")
    for example in EXAMPLES:
        print()
        _print_best(classifier, example)
    print(f"\n{time.perf_counter() - start:.0f} s in all; sketchxc demo --query \"...\" answers one query")


def _trained(threads, quiet):
    characters = names()
    queries = training_queries(characters)
    classifier, plan = train(characters, queries, threads=threads, quiet=quiet)
    with contextlib.suppress(OSError):  # a read-only home or a full disk: the next run trains anew
        path = _path()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        modelfile.save(path, classifier, _key())
    return classifier, plan, characters, queries


def _kept():
    """Classifier of an earlier run, or None if there is none, or one of another version, or a damaged one."""
    with contextlib.suppress(OSError, ValueError):
        if modelfile.read_notes(_path()) == _key():
            return modelfile.load(_path(), expected=pipeline.Classifier, verify=True)
    return None


def _path():
    return os.path.join(_jit.cache_folder(os.environ.get("SKETCHXC_CACHE_DIR")), "demo.safetensors")


def _key():
    """What a kept model must agree in; the digest covers the settings and the package's version."""
    return {"sources": _jit.source_digest(), "unicode": unicodedata.unidata_version}


def _print_best(classifier, query):
    print(query)
    encoding = sys.stdout.encoding or "utf-8"
    for character, name in best(classifier, query):
        shown = character if character.isprintable() else " "
        print(f"  U+{ord(character):04X}  {shown.encode(encoding, 'replace').decode(encoding)}  {name}")
