"""From files or texts to ranked labels: an encoder, a trained model and the names of the labels, kept together in one model file."""
from typing import NamedTuple

import numpy as np

from . import _check, _disk, _place, checkpoint, files, fit, metrics, modelfile, ranker, recipe, sizing, sparse, text

VOCABULARY = 1 << 20  # tokens at most that have a column of their own
CHARACTERS = {"chars": (4, 4), "char_rows": 2, "char_weight": 0.5}  # chosen on held-out training rows of job titles and library titles
SHORT_TEXTS = 4 << 20  # characters of all texts up to which n-grams of characters are tried; so many features at most come out of them
TRIAL, TRIAL_EPOCHS = 12_000, 4  # rows of that trial, a fifth of them held out, and passes
PAYS = 0.02  # relative gain of precision from which on they are worth it


class Encoder(NamedTuple):
    """How an input row becomes features.

    text : 1 for texts, 0 for rows of numbers.  width : int, columns of the features.
    vocabulary : uint64 (size,), keys of the tokens that have a column each; the others share the remaining columns, or none.
    weights : float32 (width,), inverse document frequencies; (0,) for rows of numbers that are not counts.
    words_low, words_high, chars_low, chars_high : int, lengths of the n-grams of words, and of characters (0 for none).
    seed : int, of the token hash.
    """
    text: int
    width: int
    vocabulary: np.ndarray
    weights: np.ndarray
    words_low: int
    words_high: int
    chars_low: int
    chars_high: int
    seed: int


class Classifier(NamedTuple):
    """What a model file of the command line holds.

    encoder : Encoder.  model : Ranker, Mach or Shallow.  names, name_offsets : label names as `modelfile.pack_strings` packs them, none
    if the labels are numbers.  how : str, aggregation over the repetitions (`decode.AGGREGATES`).
    """
    encoder: Encoder
    model: object
    names: np.ndarray
    name_offsets: np.ndarray
    how: str


def row_encoder(x):
    """Encoder for rows of numbers.

    x : Rows.  Rows that have length 1 already stay as they are; other rows without negative numbers are taken for counts and weighted as
    those of texts; all are scaled to length 1.
    Returns Encoder."""
    squares = np.concatenate([[0.0], np.cumsum(x.values.astype(np.float64)**2)])
    lengths = np.sqrt(np.diff(squares[x.indptr]))
    counts = lengths.size and abs(np.median(lengths) - 1) > 1e-3 and x.values.min(initial=0) >= 0
    weights = _rarity(x) if counts else np.empty(0, np.float32)
    return Encoder(0, x.width, np.empty(0, np.uint64), weights, 0, 0, 0, 0, 0)


def text_encoder(texts, *, size=VOCABULARY, bins=0, words=(1, 1), chars=None, char_rows=1, char_weight=1.0, seed=0):
    """Encoder for texts, and the features of the texts it is fitted on.

    texts : list of str.  size : int, most frequent tokens that get a column each, words first.  bins : int, columns that all other tokens
    are hashed into; with 0 they are left out.  words, chars : (shortest, longest) n-grams; chars may be None.
    char_rows : int, texts that must hold an n-gram of characters that gets a column.  char_weight : float, at least 0, by which these
    columns are multiplied.
    Features are log(1 + count) times the smoothed inverse document frequency log((1 + n) / (1 + df)) + 1, scaled to length 1.
    Returns (Encoder, Rows).  Raises ValueError if there is no token and no bin."""
    char_weight = _check.real(char_weight, "char_weight", 0)
    known = text.vocabulary(texts, size, words=words, seed=seed) if size else np.empty(0, np.uint64)
    pieces = known[:0]
    if chars and known.size < size:
        pieces = text.vocabulary(texts, size - known.size, words=None, chars=chars, seed=seed, min_rows=char_rows)
        known = np.union1d(known, pieces)
    width = known.size + bins
    if not width:
        raise ValueError("texts must hold at least one word")
    low, high = chars or (0, 0)
    encoder = Encoder(1, width, known, np.ones(width, np.float32), *words, low, high, seed)
    counts = _token_counts(encoder, texts)
    weights = _rarity(counts)
    weights[np.searchsorted(known, pieces)] *= np.float32(char_weight)
    encoder = encoder._replace(weights=weights)
    return encoder, _weighted(encoder, counts)


def characters_pay(texts, labels, *, seed=0):
    """Whether n-grams of characters beside the words make the classifier better on held-out rows.

    texts : list of str.  labels : Rows.  seed : int, of the TRIAL rows with labels that are drawn, if there are more, and of what is
    trained on them: once on words and once on both, a small ranker each, scored by P@1 + P@3 + P@5 on the fifth of the rows that is held
    out. The gain must be PAYS of the score, and two standard errors of its own.
    Returns bool and str, the reason."""
    size = sum(map(len, texts))
    if size > SHORT_TEXTS:
        return False, f"words: {size:,} characters of text are more than {SHORT_TEXTS:,}"
    rows = np.random.default_rng([seed, 3]).permutation(np.flatnonzero(np.diff(labels.indptr)))[:TRIAL]
    rows = np.array([i for i in rows.tolist() if any(map(str.isalnum, texts[i]))], np.int64)
    held, seen = np.sort(rows[:rows.size // 5]), np.sort(rows[rows.size // 5:])
    if held.size < 20:
        return False, f"words: {rows.size} rows are too few to try more"
    truth, k, scores = sparse.take(labels, held), min(5, labels.width), []
    worth = sum((np.arange(k) < j) / j for j in (1, 3, 5))  # of a hit at each place
    for more in ({}, CHARACTERS):
        encoder, x = text_encoder([texts[i] for i in seen], seed=seed, **more)
        chosen = recipe.choose(seen.size, encoder.width, labels.width, nonzeros=x.indices.size, kind="small", seed=seed)
        model = ranker.train(x, sparse.take(labels, seen), chosen._replace(epochs=TRIAL_EPOCHS))
        ranked, _ = ranker.top_k(model, encode(encoder, [texts[i] for i in held]), k)
        scores.append(metrics.hits(ranked, truth) @ worth)
    gains = scores[1] - scores[0]
    pays = gains.mean() > max(PAYS * scores[0].mean(), 2 * gains.std() / np.sqrt(held.size))
    return bool(pays), (f"words{' and 4-grams of characters' if pays else ''}: P@1 + P@3 + P@5 on {held.size:,} held-out rows of a trial "
                        f"{100 * scores[1].mean():.2f} with characters, {100 * scores[0].mean():.2f} without")


def encode(encoder, data):
    """Features of texts (list of str) or of rows of numbers (Rows, scipy sparse or dense (n, width)), as the model takes them.

    Returns Rows (n, encoder.width).  Raises ValueError for another number of columns."""
    if encoder.text:
        return _weighted(encoder, _token_counts(encoder, data))
    x = sparse.rows(data)
    if x.width != encoder.width:
        raise ValueError(f"x must have {encoder.width} columns as in training, not {x.width}")
    return _weighted(encoder, x) if encoder.weights.size else sparse.normalize(x)


def read(path, kind="auto", *, encoder=None, names=None, n_labels=None):
    """Data of a file for training, or for a trained model.

    path : file name.  kind : "auto", "xc" or "text".  encoder, names, n_labels : those of a trained model.
    Returns (data, labels, names): Rows or list of str, Rows, list of str or None."""
    kind = _check.choice(kind, "format", ("auto", "xc", "text"))
    kind = files.detect_format(path) if kind == "auto" else kind
    if encoder is not None and (kind == "text") != bool(encoder.text):
        raise ValueError(f"{path}: the model was trained on {('rows of numbers', 'texts')[encoder.text]}, this file has "
                         f"{('rows of numbers', 'texts')[kind == 'text']}")
    if kind == "text":
        data, labels, names = files.read_text(path, names=names)
    else:
        data, labels = files.read_xc(path)
        names = None
        if encoder is not None:
            if data.width > encoder.width:
                raise ValueError(f"{path}: {data.width} features, the model was trained on {encoder.width}")
            data = data._replace(width=encoder.width)
    if n_labels is not None and labels.width < n_labels:
        labels = labels._replace(width=n_labels)
    return data, labels, names


def read_inputs(path, encoder):
    """Inputs of a file for prediction: list of str or Rows. Labels are ignored; a line without a TAB is a text."""
    if not encoder.text:
        return read(path, encoder=encoder)[0]
    texts = []
    for block in _disk.chunks(path, 1 << 20):
        try:
            lines = block.decode().split("\n")
        except UnicodeDecodeError as error:
            line = len(texts) + block.count(b"\n", 0, error.start) + 1
            raise _disk.wrong(path, line, "bytes that are not UTF-8", "text") from None
        texts += [line.removesuffix("\r").partition("\t")[2] if "\t" in line else line.removesuffix("\r") for line in lines[:-1]]
    return texts


def first_row(x):
    """The first row of Rows, or none."""
    return sparse.take(x, np.arange(min(1, x.indptr.size - 1)))


def train(data, labels, *, names=None, kind="best", validation=0.0, characters="auto", memory=None, seconds=None, tail=(), seed=0,
          threads=1, device="cpu", checkpoints=None, every=60.0, progress=None, dry_run=False, report=None, **settings):
    """Train a classifier on texts or rows of numbers, with every setting that is not given chosen by the size of the data.

    data : list of str, or Rows.  labels : Rows.  names : list of str, the label names.
    kind : "best", "fast" or "small" (`ranker`), "mach" or "linear".
    validation : float in [0, 1), share of the rows that is left out of training and scored after it.
    characters : "yes", "no" or "auto", whether n-grams of characters (CHARACTERS) stand beside the words of texts: "auto" takes them for
    kind "best" on short texts where `characters_pay` and the budgets allow them.
    memory : int, bytes that the model may take, with "mach" and "linear" its optimizer too.  seconds : float, that training may take by the
    forecast: rankers fall back to a faster kind, "mach" and "linear" make fewer passes.
    tail : as for `recipe.choose`.
    seed : int.  threads : int, for the expected time.  device : "cpu", or "cuda" with kinds "mach" and "linear".
    settings : as for `sizing.plan`, for kinds "mach" and "linear".
    checkpoints : file name under which the training is kept after a pass, at most once in `every` seconds, and from which the same training
    on the same data goes on; its bytes come out the same. The file stays; None keeps nothing.
    progress : function (share of the work done since the last call, a line about it).
    report : function (Plan or Recipe), called before training.
    Returns (Classifier, Plan or Recipe, dict of precisions on the validation rows in percent, empty without them); with `dry_run`
    Classifier is None.
    Raises ValueError for data without rows, features or labels."""
    validation = _check.real(validation, "validation", 0.0, 0.99)
    if settings and kind not in ("mach", "linear"):
        raise ValueError(f"kind {kind!r} chooses its own settings: {', '.join(settings)} go with kind 'mach' or 'linear'")
    if _check.choice(device, "device", fit.DEVICES) == "cuda" and kind not in ("mach", "linear"):
        raise ValueError(f"device 'cuda' goes with kind 'mach' or 'linear', kind {kind!r} is trained on the processor")
    if tail and kind in ("mach", "linear"):
        raise ValueError(f"tail needs probabilities, which kind {kind!r} lacks: take kind 'best', 'fast' or 'small'")
    if labels.indices.size == 0:
        raise ValueError("labels must hold at least one label")
    _check.choice(characters, "characters", ("auto", "yes", "no"))
    kept, held = sizing.split(labels.indptr.size - 1, validation, seed)
    encoder, x, why = _encoded(data, labels, kept, kind, characters, seed)
    retry = characters == "auto" and encoder.chars_low > 0
    asked = {"kind": kind, "memory": memory, "seconds": seconds, "tail": tail, "seed": seed, "threads": threads}
    try:
        chosen = _chosen(encoder, x, labels, len(kept), settings, **asked)
        over = chosen.kind != kind
    except ValueError:
        if not retry:
            raise
        over = True
    if over and retry:
        encoder, x, _ = _encoded(data, labels, kept, kind, "no", seed)
        chosen, why = _chosen(encoder, x, labels, len(kept), settings, **asked), "words: n-grams of characters would exceed the budgets"
    if why:
        chosen = chosen._replace(features=why)
    if report:
        report(chosen)
    if device == "cuda":  # before anything is allocated
        _place.room(chosen.training_bytes, "the plan, with its optimizer and data,")
    if dry_run:
        return None, chosen, {}
    held_x, held_labels = sparse.take(x, held), sparse.take(labels, held)
    if len(held):
        x, labels = sparse.take(x, kept), sparse.take(labels, kept)
    keep = start = None
    if checkpoints:
        run = checkpoint.digest(_without_forecast(chosen), *x[:3], *labels[:2])
        start, keep = checkpoint.load(checkpoints, run), checkpoint.keeper(checkpoints, run, every)
    if kind in ("mach", "linear"):
        _, done, model, state = start or (None, 0, fit.untrained(chosen, encoder.width, labels.width), None)
        whole = chosen.epochs * len(kept)
        fit.fit(model, chosen, x, labels, state=state, start=done, keep=keep, device=device,
                progress=progress and (lambda rows, loss: progress(rows / whole, f"loss {loss:.4f}")))
    else:
        model = ranker.train(x, labels, chosen, start=start and start[1:], keep=keep, progress=progress)
    how = "logit" if getattr(chosen, "loss", "") == "softmax" else "log"
    classifier = Classifier(encoder, model, *modelfile.pack_strings(names or []), how)
    scores = {}
    if len(held):
        k = min(5, labels.width)
        ranked, _ = ranking(classifier, held_x, k)
        scores = {str(j): round(100 * metrics.precision_at(ranked, held_labels, j), 2) for j in (1, 3, 5) if j <= k}
    return classifier, chosen, scores


def _encoded(data, labels, kept, kind, characters, seed):
    """Encoder, features and, where there was a choice, what was chosen for which reason."""
    if isinstance(data, sparse.Rows):
        if characters == "yes":
            raise ValueError("characters must be 'auto' or 'no' for rows of numbers, which have none, not 'yes'")
        encoder = row_encoder(data)
        return encoder, encode(encoder, data), ""
    words, pays, why = (1, 2) if kind in ("mach", "linear") else (1, 1), characters == "yes", ""  # rankers pair the words themselves
    if characters == "auto" and kind == "best":
        pays, why = characters_pay([data[i] for i in kept.tolist()], sparse.take(labels, kept), seed=seed)
    return (*text_encoder(data, words=words, seed=seed, **CHARACTERS if pays else {}), why)


def _chosen(encoder, x, labels, rows, settings, *, kind, memory, seconds, tail, seed, threads):
    """Plan or Recipe for `rows` of the rows of x."""
    n = labels.indptr.size - 1
    size = {"nonzeros": int(x.indices.size * rows / n), "seed": seed, "threads": threads}
    if kind not in ("mach", "linear"):
        return recipe.choose(rows, encoder.width, labels.width, label_nonzeros=int(labels.indices.size * rows / n), kind=kind,
                             memory=memory, seconds=seconds, tail=tail, **size)
    single = bool((np.diff(labels.indptr) == 1).all())
    chosen = sizing.plan(rows, encoder.width, labels.width, memory, kind=kind, single=single, **size, **settings)
    if seconds and chosen.seconds > seconds and "epochs" not in settings:
        epochs = max(1, int(chosen.epochs * seconds / chosen.seconds))
        chosen = sizing.plan(rows, encoder.width, labels.width, memory, kind=kind, single=single, epochs=epochs, **size, **settings)
    return chosen


def n_labels(classifier):
    """Number of labels that a classifier knows."""
    model = classifier.model
    return model.votes.n_labels if isinstance(model, ranker.Ranker) else model.lookup.n_labels


def ranking(classifier, x, k):
    """Best k labels of encoded rows: labels int32 (n, k) and scores float32 (n, k)."""
    k = min(k, n_labels(classifier))
    if isinstance(classifier.model, ranker.Ranker):
        return ranker.top_k(classifier.model, x, k)
    return fit.trainer(classifier.model).top_k(classifier.model, x, k, how=classifier.how)


def predict(classifier, data, k=5, *, device="cpu"):
    """Best k labels of texts or rows of numbers.

    classifier : Classifier.  data : list of str, or Rows or scipy sparse (n, features).  k : int.
    device : "cpu", or "cuda": the model is moved there for the call, and the answers back.
    Returns labels int32 (n, k) and scores float32 (n, k), best first; -1 where there are no more labels. For a classifier that `to_device`
    has moved they are on the device, and rows are made of the data on the host.
    Raises RuntimeError (`_place.DeviceError`) if no device can be used or it fails, MemoryError if it is too small."""
    x, k = encode(classifier.encoder, data), _check.integer(k, "k", 1)
    if _check.choice(device, "device", fit.DEVICES) == "cpu":
        return ranking(classifier, x, k)
    own = _place.to_device(classifier)
    with _place.guarded("prediction"):
        return _place.to_host(ranking(own, x, k))


def probabilities(classifier, scores):
    """Probability that a label with a given score is right; None for models that are not calibrated.

    scores : float32, from `predict`, minus infinity for no label.  Returns float32 of that shape."""
    return ranker.probabilities(classifier.model, scores) if isinstance(classifier.model, ranker.Ranker) else None


def label_names(classifier):
    """Names of the labels: list of str, or None if labels are numbers."""
    if classifier.name_offsets.size < 2:
        return None
    return modelfile.unpack_strings(classifier.names, classifier.name_offsets)


def _without_forecast(chosen):
    """Settings without the expected time, which depends on the number of threads."""
    chosen = chosen._replace(seconds=0.0)
    return chosen._replace(mach=_without_forecast(chosen.mach)) if getattr(chosen, "mach", None) else chosen


def _token_counts(encoder, texts):
    chars = (encoder.chars_low, encoder.chars_high) if encoder.chars_low else None
    return text.lookup_texts(texts, encoder.vocabulary, bins=encoder.width - encoder.vocabulary.size,
                             words=(encoder.words_low, encoder.words_high), chars=chars, seed=encoder.seed)


def _rarity(counts):
    """Smoothed inverse document frequency of every column, float32 (width,)."""
    frequency = sparse.column_counts(counts, check=False)
    return (np.log(counts.indptr.size / (1.0 + frequency)) + 1.0).astype(np.float32)


def _weighted(encoder, counts):
    logs = counts._replace(values=np.log1p(np.maximum(counts.values, 0)))
    return sparse.normalize(sparse.scale_columns(logs, encoder.weights, check=False))


modelfile.register(Encoder, text=int, width=int, vocabulary=(np.uint64, 1), weights=(np.float32, 1), words_low=int, words_high=int,
                   chars_low=int, chars_high=int, seed=int)
modelfile.register(Classifier, names=(np.uint8, 1), name_offsets=(np.int64, 1), how=str)
