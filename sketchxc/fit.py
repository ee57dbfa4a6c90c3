"""Training runs: passes over the data in a seeded random order with a falling learning rate, on a plan's settings."""
import numpy as np

from . import _check, _place, lookup, mach, optim, sparse

DEVICES = ("cpu", "cuda")
PIECE = 1 << 19  # nonzeros between two reports of progress


def untrained(plan, n_features, n_labels):
    """Model of a plan before training: Mach, or Shallow for hidden layers.

    plan : Plan.  n_features, n_labels : int."""
    if plan.kind == "linear":
        labels = lookup.identity(n_labels)
    elif plan.lookup == "shared":
        labels = lookup.shared(n_labels, probes=plan.probes, buckets=plan.buckets, seed=plan.seed)
    else:
        labels = lookup.hashed(n_labels, reps=plan.reps, buckets=plan.buckets, seed=plan.seed)
        if plan.lookup == "learned":
            labels = lookup.from_table(lookup.label_buckets(labels), plan.buckets)  # hashed at first; a table can change in place
    width = plan.width or None
    if plan.hidden:
        from . import shallow
        return shallow.init(n_features, labels, hidden=plan.hidden, loss=plan.loss, width=width, seed=plan.seed)
    return mach.init(n_features, labels, loss=plan.loss, width=width, seed=plan.seed)


def fit(model, plan, x, labels, *, state=None, start=0, keep=None, progress=None, device="cpu"):
    """Train a model in place for plan.epochs passes.

    model : Mach or Shallow.  plan : Plan.  x, labels : Rows.  state : optimizer state to go on with; None starts afresh.
    start : int, passes that model and state have behind them (`checkpoint`).  keep : function (passes done, model, state) called after
    every pass.  progress : function (rows done, loss) called after every piece of a pass.
    device : "cpu", or "cuda": model and state are moved there once, and back when the training is through or fails; what is kept was
    moved back before. x and labels go there too where they take at most half of the memory that is free then; otherwise, and where
    columns are hashed, batches are copied there as they come.
    Returns the mean loss of the last pass.
    Raises ValueError for learned buckets on a device; FloatingPointError when the loss is no longer finite: the learning rate is too
    high; RuntimeError (`_place.DeviceError`) if no device can be used or it fails, MemoryError if it is too small."""
    if device == "cuda" and plan.lookup == "learned":
        raise ValueError("device must be 'cpu' for lookup 'learned', whose labels move on the processor, not 'cuda'")
    opt = optim.by_name(plan.optimizer, plan.lr)
    state = trainer(model).slots(opt, model) if state is None else state
    x, labels = sparse.rows(x, name="x"), sparse.rows(labels, model.lookup.n_labels, name="labels")
    there = _check.choice(device, "device", DEVICES) == "cuda"
    moved = keep and (lambda done, *own: keep(done, *_place.to_host(own))) if there else keep
    with _place.training((model, state), device) as own:
        x, labels = _beside(own[0], x, labels)
        return _passes(own[0], plan, opt, x, labels, own[1], start, moved, progress)


def _beside(model, x, labels):
    """Rows on the device of the model, or as they are: without a device, if they do not fit or if their columns are hashed."""
    free = _place.free(model.biases)
    needed = sum(array.nbytes for own in (x, labels) for array in own[:3])
    fits = _place.on_device(model.biases) and not model.feature_seeds.size and (free is None or needed <= free // 2)
    return _place.to_device((x, labels)) if fits else (x, labels)


def _passes(model, plan, opt, x, labels, state, start, keep, progress):
    """All passes of `fit`, in place, wherever model and state are."""
    module = trainer(model)
    n = x.indptr.size - 1
    rng = np.random.default_rng(plan.seed)
    pieces = 1 + x.indices.size // PIECE
    piece = max(1, -(-n // (pieces * plan.batch))) * plan.batch
    mean = 0.0
    for epoch in range(plan.epochs):
        order = rng.permutation(n)
        if epoch < start:
            if progress:
                progress(n, float("nan"))
            continue
        mean = 0.0
        for begin in range(0, n, piece):
            part = _place.beside(order[begin:begin + piece], x.indptr)
            first, last = (opt.lr * (1.0 - (epoch + place / n) / plan.epochs) for place in (begin, begin + part.size))
            loss = module.train(model, opt._replace(lr=first), state, x, labels, part, batch=plan.batch, last_lr=last, check=False)
            if not np.isfinite(loss):
                raise FloatingPointError(f"the loss became {loss} in epoch {epoch + 1}: take a lower learning rate than {plan.lr:g}")
            mean += loss * part.size / n
            if progress:
                progress(part.size, loss)
        if plan.lookup == "learned" and epoch + 1 == max(1, plan.epochs // 4) < plan.epochs:
            from . import partition
            model.lookup.table[...] = partition.repartition(model, x, labels).table
        if keep:
            keep(epoch + 1, model, state)
    return mean


def trainer(model):
    """Module that trains and reads a model: `mach` or `shallow`."""
    if isinstance(model, mach.Mach):
        return mach
    from . import shallow
    return shallow
