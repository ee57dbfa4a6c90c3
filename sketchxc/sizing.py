"""Choice of a model's size and training settings from the size of the data, and what it will cost."""
from typing import NamedTuple

import numpy as np

from . import _check
from .lookup import needed_reps

DEFAULT_BUDGET = 2 << 30  # bytes of parameters and optimizer state
MOMENTS = {"sgd": 0, "momentum": 1, "adagrad": 1, "adam": 2}
SPARSE_RATE = 4e9  # floating-point operations a second and thread that sparse rows reach when the weights exceed the caches
DENSE_RATE = 4e10  # the same for dense products
LOOKUPS = ("hashed", "learned", "shared")
PROBES = 16  # buckets of a label in a shared output
RATES = {"sgd": 1.0, "momentum": 0.1, "adagrad": 0.01, "adam": 2e-4}  # learning rates relative to that of plain descent


class Plan(NamedTuple):
    """Settings of a training run and its forecast.

    kind : "mach" or "linear".  reps, buckets, hidden (tuple of int), width (cells of hashed columns, 0 for columns as they are), loss,
    optimizer, lr, batch, epochs, seed : as the trainers take them.
    model_bytes, training_bytes (parameters, optimizer state and rows), one_vs_all_bytes : int.  seconds : float, expected for training.
    warnings : tuple of str.  lookup : "hashed", "learned" or "shared".  probes : buckets of a label in each repetition.
    """
    kind: str
    reps: int
    buckets: int
    hidden: tuple
    width: int
    loss: str
    optimizer: str
    lr: float
    batch: int
    epochs: int
    seed: int
    model_bytes: int
    training_bytes: int
    one_vs_all_bytes: int
    seconds: float
    warnings: tuple
    lookup: str = "hashed"
    probes: int = 1

    def __str__(self):
        net = f", hidden {'-'.join(map(str, self.hidden))}" if self.hidden else ""
        name = "one-vs-all" if self.kind == "linear" else f"MACH, R={self.reps} repetitions of B={self.buckets} buckets"
        name += ", learned" if self.lookup == "learned" else ""
        if self.lookup == "shared":
            name = f"MACH, one shared output of B={self.buckets} buckets, {self.probes} for each label"
        columns = f", columns hashed to {self.width:,} cells" if self.width else ""
        lines = [f"model      {name}{net}{columns}, {self.loss} loss",
                 f"training   {self.optimizer}, learning rate {self.lr:g}, batches of {self.batch}, {self.epochs} epochs, seed {self.seed}",
                 f"memory     model {megabytes(self.model_bytes)}, training {megabytes(self.training_bytes)}, "
                 f"one-vs-all would take {megabytes(self.one_vs_all_bytes)}",
                 f"time       about {max(1, round(self.seconds)):,} s"]
        return "\n".join(lines + [f"warning    {text}" for text in self.warnings])


def plan(rows, features, labels, budget=None, *, kind="mach", nonzeros=None, single=False, reps=None, buckets=None, lookup="hashed",
         hidden=(), width=None, loss=None, optimizer=None, lr=None, batch=None, epochs=None, seed=0, threads=1):
    """Choose every setting that is not given, by the size of the data.

    rows, features, labels : int, size of the training set.  budget : int, bytes for parameters and optimizer state, 2 GiB by default.
    kind : "mach", or "linear" for one-vs-all.  nonzeros : int, entries of all rows (10 a row by default).
    single : whether every row has exactly one label; the loss is then softmax, otherwise logistic.
    lookup : "hashed"; "learned", which moves labels to the buckets that score them highest after a quarter of the passes (on held-out
        titles it gained .6 points of P@1, on tags it lost 13); or "shared", one output in which a label has `reps` buckets, PROBES if None.
    reps, buckets, hidden, width, loss, optimizer, lr, batch, epochs, seed : settings that are fixed by the caller.
    threads : int, for the expected time.
    Returns Plan; its text form is for people.
    Raises ValueError if the settings cannot be met within the budget.
    Source: Medini et al. 2019, theorem 2, for the repetitions that keep labels apart."""
    rows, labels = _check.integer(rows, "rows", 1), _check.integer(labels, "labels", 1)
    features = _check.integer(features, "features", 1)
    budget = DEFAULT_BUDGET if budget is None else _check.integer(budget, "budget", 1)
    _check.choice(kind, "kind", ("mach", "linear"))
    optimizer = _check.choice(optimizer or ("adam" if hidden else "sgd"), "optimizer", MOMENTS)
    loss = _check.choice(loss or ("softmax" if single else "logistic"), "loss", ("logistic", "softmax"))
    nonzeros = 10 * rows if nonzeros is None else nonzeros
    hidden = tuple(_check.integer(h, "hidden", 1) for h in hidden)
    copies = 4 * (1 + MOMENTS[optimizer])  # bytes of training memory per parameter
    cells = features if width is None else width
    warnings = []
    _check.choice(lookup, "lookup", LOOKUPS)
    probes = 1
    if kind == "linear":
        if lookup != "hashed":
            raise ValueError(f"lookup must be 'hashed' for kind 'linear', where every label has a bucket of its own, not {lookup!r}")
        reps, buckets = 1, labels
    elif lookup == "shared":
        probes = PROBES if reps is None else _check.integer(reps, "reps", 1)
        blocks, each, cells = _sizes(labels, features, budget // copies, None if buckets is None else 1, buckets, hidden, cells,
                                     width is not None)
        reps, buckets = 1, blocks * each  # as many as with hashing
        probes = min(probes, buckets)
    else:
        reps, buckets, cells = _sizes(labels, features, budget // copies, reps, buckets, hidden, cells, width is not None)
    width = 0 if cells == features else cells
    parameters = _parameters(cells, reps, buckets, hidden)
    one_vs_all = 4 * (features + 1) * labels
    if parameters * copies > budget:
        raise ValueError(f"the model needs {parameters * copies:,} bytes in training, budget allows {budget:,}: take fewer buckets, "
                         "repetitions or columns, or raise the budget")
    if kind == "mach":
        if lookup != "shared" and reps < needed_reps(labels, buckets):
            warnings.append(f"some of {labels:,} labels may share all buckets: {needed_reps(labels, buckets)} repetitions of {buckets:,} "
                            f"buckets would tell them apart (R >= 2 log(K / sqrt(0.01)) / log B)")
        if 4 * parameters > one_vs_all:
            warnings.append("the ensemble is larger than one-vs-all: --model linear is smaller, fewer repetitions or buckets are too")
    default_lr, default_epochs = _pace(rows)
    epochs = default_epochs if epochs is None else _check.integer(epochs, "epochs", 1)
    if lookup == "learned" and epochs == 1:
        warnings.append("labels move between two passes: a single one learns no buckets")
    batch = (256 if hidden else 32) if batch is None else _check.integer(batch, "batch", 1)
    if lr is None:
        lr = 1e-3 if hidden and optimizer == "adam" else float(f"{default_lr * RATES[optimizer]:.3g}")
    lr = _check.real(lr, "lr", 0, open_low=True)
    columns = reps * buckets
    if hidden:
        dense = sum(a * b for a, b in zip(hidden, (*hidden[1:], buckets)))
        seconds = epochs * reps * (6 * rows * dense / DENSE_RATE + 4 * nonzeros * hidden[0] / SPARSE_RATE) / threads
    else:
        seconds = epochs * 4 * nonzeros * columns / (SPARSE_RATE * threads)
    training = parameters * copies + 8 * nonzeros + 8 * rows
    return Plan(kind, reps, buckets, hidden, width, loss, optimizer, lr, batch, epochs, seed, 4 * parameters, training, one_vs_all, seconds,
                tuple(warnings), lookup, probes)


def split(n, share, seed):
    """Row numbers kept for training and held out, drawn at random, each ascending.

    n : int, rows.  share : float in [0, 1), share held out; above 0 at least one row is.  seed : int.
    Returns two int64 arrays."""
    held = np.zeros(n, bool)
    size = int(round(n * share))
    if share > 0 and n > 1:
        held[np.random.default_rng([seed, 1]).permutation(n)[:min(max(size, 1), n - 1)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def megabytes(size):
    """A number of bytes as text in MB or GB (powers of ten)."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"


def _sizes(labels, features, parameters, reps, buckets, hidden, cells, fixed_width):
    """Repetitions, buckets and cells for MACH within a number of parameters: the best trade found on the sets of benchmarks/README.md.

    About 1 bucket for 48 labels (at least 32, or all labels), 8 repetitions, 16 for small label sets; more where the labels would not
    be told apart; then buckets are halved, and after that columns are hashed, until the model fits."""
    if buckets is None:
        wanted = int(2 ** np.round(np.log2(max(32.0, labels / 48))))
        given = False
        buckets = max(2, min(wanted, labels, 8192))
    else:
        buckets, given = _check.integer(buckets, "buckets", 1), True
    if reps is None:
        chosen = max(16 if labels <= 2000 else 8, needed_reps(labels, buckets) if buckets > 1 else 1)
    else:
        chosen = _check.integer(reps, "reps", 1)
    while not given and buckets > 64 and _parameters(cells, chosen, buckets, hidden) > parameters:
        buckets //= 2
        chosen = reps or max(8, needed_reps(labels, buckets))
    while not fixed_width and cells > 1024 and _parameters(cells, chosen, buckets, hidden) > parameters:
        cells = 1 << int(np.ceil(np.log2(cells)) - 1)
    return chosen, buckets, cells


def _parameters(cells, reps, buckets, hidden):
    sizes = (cells, *hidden, buckets)
    return reps * sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))


def _pace(rows):
    """Learning rate of plain descent, for rows of length 1 in batches of 32, and passes: chosen on validation rows of sets of 4 thousand,
    17 thousand and 580 thousand rows. Small sets overfit at the pace that large ones need."""
    growth = (rows / 5000) ** 0.25
    return float(np.clip(20 * growth, 20, 60)), int(np.clip(round(12 / growth), 4, 12))
