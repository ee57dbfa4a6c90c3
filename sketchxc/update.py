"""Further rows, new labels, and labels to be taken out of a trained default classifier, in place of training it anew.

What is exact and what is approximate stands at `insert` and `erase`. Every constant was chosen on training rows of job titles.
"""
import numpy as np

from . import _check, _disk, crosses, files, mach, modelfile, neighbours, optim, packed, pipeline, ranker, rerank, sparse, votes

REPLAY = 10  # old rows, or rows drawn from the counts, for every new one: with fewer, new labels are given to old rows too often
PASSES, NEAR, FAR, LR = 6, 4, 16, 0.35  # of the vectors of new labels: passes, draws of a step, learning rate at the start
MACH_PASSES, MACH_LR, BATCH = 3, 20.0, 32  # of the linear MACH part
STILL = 1e30  # sum of squares of a vector that stays: its steps come to nothing


def read(path, classifier):
    """Further rows of a file.

    path : file name, in the format that the classifier was trained on; names that it does not know are new labels.
    classifier : pipeline.Classifier.  Returns (data, labels, names), as `insert` takes them.
    Raises ValueError with file and line as the readers of `files` do, and for the other format."""
    if classifier.encoder.text or files.detect_format(path) == "text":
        return pipeline.read(path, encoder=classifier.encoder, names=pipeline.label_names(classifier))
    return (*files.read_xc(path), None)  # not cut to the width of the encoder: `insert` leaves out what is beyond


def read_labels(path, classifier):
    """Labels of a file, one a line, by name or number.

    path : file name, UTF-8.  classifier : pipeline.Classifier.  Returns int64 (n,).
    Raises ValueError with file and line for a label that the classifier does not know."""
    names, n_labels, found = pipeline.label_names(classifier), pipeline.n_labels(classifier), []
    place = {name: i for i, name in enumerate(names)} if names else {str(i): i for i in range(n_labels)}
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip() not in place:
                raise _disk.wrong(path, number, repr(line.strip()[:60]), "a label of the classifier")
            found.append(place[line.strip()])
    return np.array(found, np.int64)


def insert(classifier, data, labels, *, names=None, decay=1.0, seed=0):
    """A classifier that has seen further rows, which may have new labels.

    classifier : pipeline.Classifier of kind "best", "fast" or "small".  data : list of str, or Rows (n, features); what the classifier has
    no column for, unknown words and columns beyond its own, is left out.
    labels : Rows (n, any number of labels); numbers from `pipeline.n_labels` on are new labels, and those below the largest are made too.
    names : list of str, names of the labels, old ones first, where labels have names; None if they are numbers.
    decay : float, 0 to 1, by which the counts of the past are multiplied first: below 1 newer rows count more.  seed : int, of the draws.
    Returns Classifier; the given one stays as it is. The same bits for any number of threads.

    Exact: the index of the nearest rows. Nearly exact: votes, which are turned back into counts (`votes.restore`), counted on and weighed
    anew; pairs that were too light to be kept count from 0 again. Approximate: new labels get vectors that are trained against those of
    the old labels, which stay; the linear MACH part takes a few passes over the new rows; both see old rows beside the new ones, REPLAY
    for each, or where the model does not keep its rows some that are drawn from the counts. As they are: the vocabulary and its weights,
    the pairs of features that have a column, the vectors of the old labels, the weights of the parts, the calibration. So train anew when
    new rows are no longer few beside the old ones, or use new words.
    Raises ValueError for other classifiers, and for labels, names or rows that do not fit.
    Source: Shin et al. 2017 (generative replay), with the counts as the generator."""
    model, known = _model(classifier), pipeline.label_names(classifier)
    x, labels = pipeline.encode(classifier.encoder, _narrowed(classifier.encoder, data)), sparse.rows(labels, name="labels")
    if labels.indptr.size != x.indptr.size:
        raise ValueError(f"labels must have as many rows as data, {x.indptr.size - 1}, not {labels.indptr.size - 1}")
    before, after = model.votes.n_labels, max(model.votes.n_labels, labels.width)
    if known is None and names is not None:
        raise ValueError("names must be None for a classifier whose labels are numbers")
    if known is not None and (names is None or len(names) < after or list(names[:before]) != known):
        raise ValueError(f"names must hold those of the {before} labels of the classifier, then one for each of {after - before} new ones")
    model = _inserted(model, x, labels._replace(width=after), _check.real(decay, "decay", 0, 1), _check.integer(seed, "seed", 0))
    if known is None:
        return classifier._replace(model=model)
    packed_names, offsets = modelfile.pack_strings(list(names[:after]))
    return classifier._replace(model=model, names=packed_names, name_offsets=offsets)


def erase(classifier, labels):
    """A classifier that never answers with some of its labels; the others keep their numbers.

    classifier : as for `insert`.  labels : integers (n,), or one.
    Returns Classifier; the given one stays as it is. Votes and nearest rows of the labels are gone; their vectors stay but are no longer
    read, and rows that held them still count as rows. An erased label comes back when rows that have it are inserted.
    Raises ValueError for labels that there are not."""
    model = _model(classifier)
    struck = votes.strike(model.votes, labels)
    rows = model.basis.label_rows.copy()
    rows[np.asarray(labels, np.int64)] = -1
    near = model.neighbours
    if near is not None:
        kept = rows[near.labels] >= 0
        near = near._replace(labels=near.labels[kept], labels_ptr=np.concatenate([[0], np.cumsum(kept)])[near.labels_ptr])
    return classifier._replace(model=model._replace(votes=struck, neighbours=near, basis=model.basis._replace(label_rows=rows)))


def change(path, *, new=None, erased=None, output=None, decay=1.0, seed=0):
    """Change a model file, as the command line does it.

    path : file name of the model.  new : file name of further rows, or None.  erased : file name of labels that are taken out first, or
    None.  output : file name to write to; None replaces the model.  decay, seed : as for `insert`.
    Returns str, what was done.  Raises ValueError if there is nothing to do, and as `read`, `read_labels`, `insert` and `erase` do."""
    if not (new or erased):
        raise ValueError("NEW or --erase is missing: nothing to do")
    classifier, notes, done = modelfile.load(path, expected=pipeline.Classifier), modelfile.read_notes(path), []
    before = pipeline.n_labels(classifier)
    if erased:
        labels = read_labels(erased, classifier)
        classifier = erase(classifier, labels)
        done.append(f"labels erased: {np.unique(labels).size:,}")
    if new:
        data, labels, names = read(new, classifier)
        classifier = insert(classifier, data, labels, names=names, decay=decay, seed=seed)
        rows = labels.indptr.size - 1
        notes["rows"] = notes.get("rows", 0) + rows
        done.append(f"rows added: {rows:,}, new labels: {pipeline.n_labels(classifier) - before:,}")
    modelfile.save(output or path, classifier, notes)
    return ", ".join(done)


def _inserted(model, x, labels, decay, seed):
    """Ranker with the rows in it."""
    before, after = model.votes.n_labels, labels.width
    old, settings = model.basis, dict(zip(votes.Basis._fields[3:], model.basis[3:]))
    past = votes.restore(model.votes, old)
    past = votes.decay(past, decay) if decay < 1 else past
    counts = votes.insert(past, crosses.cross(model.crosses, x, check=False), labels, check=False)
    rows = np.concatenate([old.label_rows, np.zeros(after - before, np.int32)])
    basis = votes.basis(counts, **settings)
    basis = basis._replace(label_rows=np.where((rows < 0) & (counts.label_rows == 0), np.int32(-1), basis.label_rows))
    near, kept = model.neighbours, None
    if near is not None:
        n = near.labels_ptr.size - 1
        kept = (sparse.transpose(sparse.Rows(near.starts, near.rows, near.values, n), check=False),
                sparse.Rows(near.labels_ptr, near.labels, np.ones(near.labels.size, np.float32), after))
        near = neighbours.index(sparse.stack([kept[0], x]), sparse.stack([kept[1], labels]), check=False)
    model = model._replace(votes=votes.votes(counts, **settings), basis=basis, neighbours=near, gains=_gains(model.gains, old, basis),
                           shortlist=min(100, after) if model.shortlist == before else model.shortlist)
    seen = _replayed(x, labels, kept, past, seed)
    if model.factors is not None:  # new to them are labels that had no row, or were erased
        model = model._replace(factors=_factors(model, *seen, (rows <= 0) & ((counts.label_rows > 0) | (np.arange(after) >= before)), seed))
    return model if model.mach is None else model._replace(mach=_mach(model.mach, *seen, seed))


def _replayed(x, labels, kept, past, seed):
    """The new rows and REPLAY times as many of the past, so that new labels learn where they do not belong: of the rows that were kept, or
    drawn from the counts."""
    rng, size = np.random.default_rng([seed, 5]), min(REPLAY * (x.indptr.size - 1), past.rows)
    if kept is None:
        kept = _drawn(past, x, labels.width, size, rng)
    some = rng.permutation(kept[0].indptr.size - 1)[:size]
    return sparse.stack([x, sparse.take(kept[0], some)]), sparse.stack([labels, sparse.take(kept[1], some)])


def _drawn(past, x, n_labels, size, rng):
    """Rows like those of the past, with one label each: labels by their frequency, features by how often they were seen with the label, as
    many as a row of x has, with the values that their rarity gives them."""
    by_label = sparse.transpose(sparse.Rows(past.indptr[:x.width + 1], past.labels[:past.indptr[x.width]],
                                            past.counts[:past.indptr[x.width]].astype(np.float32), n_labels), check=False)
    mass = np.concatenate([[0.0], np.cumsum(by_label.values, dtype=np.float64)])
    starts = mass[by_label.indptr]
    shares = np.cumsum(np.where(np.diff(starts) > 0, np.append(past.label_rows, np.zeros(n_labels - past.label_rows.size)), 0.0))
    size = size if shares[-1] else 0
    label = np.minimum(np.searchsorted(shares, rng.random(size) * shares[-1], "right"), n_labels - 1)
    lengths = rng.permutation(np.resize(np.maximum(1, np.diff(x.indptr)), size))
    row = np.repeat(np.arange(size), lengths)
    place = np.searchsorted(mass, starts[label[row]] + rng.random(row.size) * np.diff(starts)[label[row]], "right") - 1
    keys = np.unique(row * x.width + by_label.indices[np.minimum(place, by_label.indices.size - 1)])
    rarity = np.log(max(2, past.rows) / (1.0 + past.feature_rows)) + 1
    made = sparse.Rows(np.searchsorted(keys, np.arange(size + 1) * x.width), (keys % x.width).astype(np.int32),
                       rarity[keys % x.width].astype(np.float32), x.width)
    return sparse.normalize(made), sparse.Rows(np.arange(size + 1), label.astype(np.int32), np.ones(size, np.float32), n_labels)


def _factors(model, x, labels, fresh, seed):
    """Factors with vectors for the labels that are fresh; all else stays."""
    own = model.factors
    reps, before, dim = own.labels.shape
    tables = np.zeros((reps, fresh.size, dim), np.float32)
    tables[:, :before] = own.labels * own.label_scales[:, :, None]
    tables[:, fresh] = 0
    factors = rerank.Factors(own.features * own.feature_scales[:, :, None], tables, own.seeds, own.columns)
    state = rerank.slots(factors)
    state.features[...] = state.labels[:, ~fresh] = STILL
    wide = crosses.cross(model.crosses, x, check=False)
    hard, _ = votes.candidates(model.votes, wide, min(ranker.NEAR, fresh.size), power=model.power, check=False)
    rng = np.random.default_rng([seed, 6])
    for _ in ranker.passes((factors, state), x, labels, hard, rng, PASSES, lr=LR, near=NEAR, far=FAR, seed=seed):
        pass
    new, stays = rerank.pack(factors), np.flatnonzero(~fresh)
    new.labels[:, stays], new.label_scales[:, stays] = own.labels[:, stays], own.label_scales[:, stays]
    return own._replace(labels=new.labels, label_scales=new.label_scales)


def _mach(own, x, labels, seed):
    """The linear MACH part after a few passes over the rows."""
    if own.lookup.table.shape[1]:
        raise ValueError("classifier must have hashed buckets in its MACH part, so that there are some for new labels")
    part = mach.init(own.scales.size, own.lookup._replace(n_labels=labels.width), loss=mach.LOSSES[own.loss])
    np.multiply(own.weights, own.scales[:, None], out=part.weights)
    part.biases[...] = own.biases
    opt, rng = optim.sgd(MACH_LR), np.random.default_rng([seed, 7])
    state = mach.slots(opt, part)
    for epoch in range(MACH_PASSES):
        first, last = (MACH_LR * (1 - e / MACH_PASSES) for e in (epoch, epoch + 1))
        order = rng.permutation(x.indptr.size - 1)
        mach.train(part, opt._replace(lr=first), state, x, labels, order, batch=BATCH, last_lr=last, check=False)
    return packed.pack(part)


def _gains(gains, old, new):
    """Gains by the rows of a label, as they were among the old labels."""
    if not gains.size:
        return gains
    order = np.argsort(old.label_rows, kind="stable")
    return np.interp(new.label_rows, old.label_rows[order], gains[order]).astype(np.float32)


def _narrowed(encoder, data):
    """Rows without the columns that the encoder does not know; anything else as it is."""
    if encoder.text:
        return data
    x = sparse.rows(data)
    if x.width <= encoder.width:
        return x._replace(width=encoder.width)
    kept = x.indices < encoder.width
    return sparse.Rows(np.concatenate([[0], np.cumsum(kept)])[x.indptr], x.indices[kept], x.values[kept], encoder.width)


def _model(classifier):
    model = classifier.model
    if not isinstance(model, ranker.Ranker) or model.basis is None:
        raise ValueError("classifier must be of kind 'best', 'fast' or 'small'; train others anew")
    return model
