"""Classifiers for scikit-learn: MACH and one-vs-all, for one label a row or any number of labels, on sparse or dense features."""
import contextlib
import sys

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from . import _check, _place, decode, fit, optim, sizing, sparse
from ._threads import limited

CELLS = 1 << 24  # scores, of buckets or of labels, made at a time: 64 MB
STEPS, PASSES = 1000, 100  # steps that a small training set gets at least, and passes at most for that


class _Classifier(ClassifierMixin, BaseEstimator):
    """What both classifiers share; `_settings` says how labels share buckets."""

    def fit(self, X, y):
        """Train from scratch.

        X : scipy sparse, array or Rows (n, features), finite numbers.
        y : labels (n,) of any type, one a row; or an indicator matrix (n, labels) of 0 and 1: scipy sparse, array or Rows.
        Returns self.
        Raises ValueError for input that does not fit, FloatingPointError if the training diverges."""
        with self._threads(), self._progress() as progress:
            x, labels = self._begin(X, y)
            fit.fit(self.model_, self.plan_, x, labels, state=self._slots, progress=progress and progress(labels.indptr.size - 1),
                    device=self.device)
        return self

    def partial_fit(self, X, y, classes=None):
        """One pass over more rows, in a seeded order, with the full learning rate; the optimizer goes on where it was.

        The size of the model, the scale of the rows and all settings are chosen at the first call and stay.
        X, y : as for `fit`.  classes : all labels, needed at the first call unless y is an indicator matrix.
        Returns self.
        Raises as `fit` does, and for a label that is not among the classes."""
        with self._threads():
            if hasattr(self, "model_"):
                X, y = self._validated(X, y, reset=False)
                if classes is not None and not np.array_equal(classes if self.multilabel_ else np.unique(classes), self.classes_):
                    raise ValueError(f"classes must be the {self.classes_.size} of the first call of partial_fit")
                if (y.ndim == 2) != self.multilabel_:
                    raise ValueError(f"y must be {('labels (n,)', 'an indicator matrix')[self.multilabel_]} as before")
                x, labels = self._scaled(X), self._label_rows(y)
            else:
                x, labels = self._begin(X, y, classes, partial=True)
            opt = optim.by_name(self.plan_.optimizer, self.plan_.lr)
            n, steps = labels.indptr.size - 1, int(self._slots.weights.steps[0])
            order = np.random.default_rng([self.plan_.seed, steps]).permutation(n)
            with _place.training((self.model_, self._slots), _check.choice(self.device, "device", fit.DEVICES)) as (model, state):
                loss = fit.trainer(model).train(model, opt, state, x, labels, order, batch=self.plan_.batch)
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss became {loss}: take a lower learning_rate than {self.plan_.lr:g}")
        return self

    def predict(self, X):
        """Best label of every row (n,); or, after training on an indicator matrix, the indicator int64 (n, labels) of the labels whose
        probability is above 1/2, as CSR if the training labels were sparse."""
        check_is_fitted(self)
        if not self.multilabel_:
            return self.predict_topk(X, 1)[0][:, 0]
        counts, columns = zip(*((found.sum(1), np.nonzero(found)[1]) for found in (part > 0 for part in self._decisions(X))))
        indicator = self._csr(np.concatenate(counts), np.concatenate(columns), np.ones(sum(map(len, columns)))).astype(np.int64)
        return indicator if self.sparse_output_ else indicator.toarray()

    def predict_proba(self, X):
        """Probability of every label, float64 (n, labels).

        One label a row: the aggregates over the repetitions, none below 0, divided by their sum over the labels. Any number of labels:
        the aggregate of each label. For many labels see `predict_topk`, which makes no array of rows x labels."""
        check_is_fitted(self)
        return np.concatenate([self._separate(scores) if self.multilabel_ else self._shares(scores) for scores in self._scores(X)])

    def decision_function(self, X):
        """Score of every label, float64 (n, labels), whose largest is the prediction; for two classes float64 (n,), above 0 for the second
        class; after training on an indicator matrix above 0 for the labels that are predicted."""
        check_is_fitted(self)
        return np.concatenate(list(self._decisions(X)))

    def predict_topk(self, X, k=5, *, top=None, least=2, as_csr=False):
        """Best k labels of every row, best first, without an array of rows x labels.

        X : as for `fit`.  k : int, at most the number of labels.  top, least : int, pruned decoding (see `decode.top_k`), None for exact.
        Returns labels (n, k), items of `classes_`, and scores float32 (n, k): the aggregate over the repetitions as a probability, not
        divided by its sum over the labels. With `as_csr` the scores as a CSR array float32 (n, labels), columns as in `classes_`.
        A place for which pruned decoding found no label has score 0 and the first class."""
        check_is_fitted(self)
        with self._threads():
            x = self._scaled(self._validated(X))
            model = self._model()
            ranked, scores = _place.to_host(fit.trainer(model).top_k(model, x, k, how=self._how(), top=top, least=least))
        found = ranked >= 0
        scores = np.where(found, self._separate(scores), 0).astype(np.float32)
        if not as_csr:
            return self.classes_[np.maximum(ranked, 0)], scores
        return self._csr(found.sum(1), ranked[found], scores[found])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        return tags

    def _begin(self, X, y, classes=None, partial=False):
        """Choose all that stays, make an untrained model; returns the rows and labels to train on."""
        X, y = self._validated(X, y, reset=True)
        multilabel = y.ndim == 2
        if partial and classes is None and not multilabel:
            raise ValueError("classes must be passed on the first call to partial_fit")
        if multilabel:
            classes = np.arange(y.shape[1]) if classes is None else np.asarray(classes)
            if classes.shape != (y.shape[1],):
                raise ValueError(f"classes must be one for each of the {y.shape[1]} columns of y, not of shape {classes.shape}")
        else:
            classes = np.unique(y if classes is None else classes)
        self._how()
        self.classes_, self.multilabel_, self.sparse_output_ = classes, multilabel, hasattr(y, "tocsr")
        normalize = _check.choice(self.normalize, "normalize", ("auto", True, False))
        self.normalize_ = hasattr(X, "tocsr") if normalize == "auto" else bool(normalize)
        self.scale_ = 1.0
        x = self._scaled(X)
        if not self.normalize_:
            mean = float(np.square(x.values, dtype=np.float64).sum()) / (x.indptr.size - 1)
            self.scale_ = 1 / mean**0.5 if mean > 0 else 1.0
            x = self._scaled(X)
        labels = self._label_rows(y)
        self.plan_ = self._plan(x, classes.size)
        self.model_ = fit.untrained(self.plan_, x.width, classes.size)
        self._slots = fit.trainer(self.model_).slots(optim.by_name(self.plan_.optimizer, self.plan_.lr), self.model_)
        return x, labels

    def _plan(self, x, n_labels):
        n = x.indptr.size - 1
        given = dict(self._settings(), loss=self.loss, optimizer=self.optimizer, lr=self.learning_rate, batch=self.batch_size,
                     epochs=self.epochs, seed=self.seed, nonzeros=x.indices.size, single=not self.multilabel_)
        plan = sizing.plan(n, x.width, n_labels, **given)
        if plan.kind == "mach" and given["reps"] is None and given["buckets"] is None and plan.reps * plan.buckets >= n_labels:
            plan = sizing.plan(n, x.width, n_labels, **{**given, "kind": "linear"})
        if self.epochs is None:
            plan = plan._replace(epochs=max(plan.epochs, min(PASSES, -(-STEPS * plan.batch // n))))
        return plan

    def _validated(self, X, y=None, reset=False):
        """X and y as scikit-learn checks them, y flat unless it is an indicator matrix."""
        X = sparse.to_scipy(X) if isinstance(X, sparse.Rows) else X
        if y is None and not reset:
            return validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False)
        y = sparse.to_scipy(y) if isinstance(y, sparse.Rows) else y
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float32, multi_output=True, reset=reset)
        kind = type_of_target(y, input_name="y")  # not check_classification_targets, which takes many labels for a sign of regression
        if kind in ("binary", "multiclass") and not hasattr(y, "tocsr"):
            return X, column_or_1d(y, warn=True)
        one_column = hasattr(y, "tocsr") and y.shape[1] == 1 and np.isin(y.data, (0, 1)).all()
        if kind != "multilabel-indicator" and not one_column:
            raise ValueError(f"Unknown label type: {kind}. y must be labels (n,) or an indicator matrix of 0 and 1, not of shape {y.shape}")
        return X, y

    def _scaled(self, X):
        """Rows of the features as the model takes them."""
        x = sparse.rows(X, name="X")
        if self.normalize_:
            return sparse.normalize(x, check=False)
        return x if self.scale_ == 1 else x._replace(values=(x.values * self.scale_).astype(np.float32))

    def _label_rows(self, y):
        if self.multilabel_:
            if y.shape[1] != self.classes_.size:
                raise ValueError(f"y must have {self.classes_.size} columns as before, not {y.shape[1]}")
            return sparse.rows(y, name="y")
        places = np.minimum(np.searchsorted(self.classes_, y), self.classes_.size - 1)
        if (self.classes_[places] != y).any():
            raise ValueError(f"y holds the label {y[self.classes_[places] != y][0]!r}, which is not among the classes of the first call")
        return sparse.Rows(np.arange(len(y) + 1), places.astype(np.int32), np.ones(len(y), np.float32), self.classes_.size)

    def _scores(self, X):
        """Generator of the aggregated scores of all labels, float64 (rows, labels), of one block of rows after the other."""
        x = self._scaled(self._validated(X))
        model, how, n_labels = self._model(), self._how(), self.classes_.size
        block = max(1, CELLS // max(n_labels, model.lookup.reps * model.lookup.buckets))
        for start in range(0, x.indptr.size - 1, block):
            with self._threads():
                rows = sparse.take(x, np.arange(start, min(start + block, x.indptr.size - 1)))
                everything = np.tile(np.arange(n_labels, dtype=np.int32), (rows.indptr.size - 1, 1))  # (rows, labels)
                buckets = fit.trainer(model).bucket_scores(model, rows)
                scores = decode.shortlist_scores(buckets, model.lookup, _place.beside(everything, model.biases), how=how,
                                                 softmax=model.loss == 1)
                scores = _place.to_host(scores).astype(np.float64)
            if how == "unbiased" and model.lookup.buckets > 1:
                scores = (scores - 1 / model.lookup.buckets) * (model.lookup.buckets / (model.lookup.buckets - 1))
            yield scores

    def _csr(self, counts, columns, values):
        indptr = np.concatenate([[0], np.cumsum(counts)])
        return sparse.to_scipy(sparse.rows(sparse.Rows(indptr, columns.astype(np.int32), values, self.classes_.size)))

    def _separate(self, scores):
        """Aggregated scores as probabilities of single labels."""
        how = self._how()
        if how == "log":
            return np.exp(scores)
        return 1 / (1 + np.exp(-np.clip(scores, -80, 80))) if how == "logit" else np.clip(scores, 0, 1)

    def _shares(self, scores):
        """Aggregated scores as probabilities that sum to 1 over the labels."""
        if self._how() in ("log", "logit"):
            shares = np.exp(scores - scores.max(1, keepdims=True))
        else:
            shares = np.maximum(scores, 0)
            shares[shares.sum(1) == 0] += scores[shares.sum(1) == 0] == scores[shares.sum(1) == 0].max(1, keepdims=True)
        return shares / shares.sum(1, keepdims=True)

    def _decisions(self, X):
        """Generator of what `decision_function` returns, of one block of rows after the other."""
        how = self._how()
        half = {"log": np.log(0.5), "logit": 0.0}.get(how, 0.5)
        for scores in self._scores(X):
            if self.multilabel_:
                yield scores - half
            elif self.classes_.size == 2:
                scores = scores if how in ("log", "logit") else self._shares(scores)
                yield scores[:, 1] - scores[:, 0]
            else:
                yield scores

    def _how(self):
        how = getattr(self, "how", "auto")
        return "log" if how == "auto" else _check.choice(how, "how", decode.AGGREGATES)

    def _model(self):
        """The model where it predicts: itself, or its copy on the device, which is made once after a training."""
        if self.device == "cpu":
            return self.model_
        key = id(self.model_), int(self._slots.weights.steps[0])
        if getattr(self, "_moved", (None,))[0] != key:
            self._moved = key, _place.to_device(self.model_)
        return self._moved[1]

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_moved"}

    def _threads(self):
        return limited(None if self.threads is None else _check.integer(self.threads, "threads", 1))

    @contextlib.contextmanager
    def _progress(self):
        """Gives None, or with `verbose` a function of the number of rows that makes what `fit.fit` calls."""
        if not self.verbose:
            yield None
            return
        from tqdm import tqdm
        with tqdm(unit="row", unit_scale=True, file=sys.stderr, mininterval=0.5, dynamic_ncols=True) as bar:
            def started(n):
                bar.reset(self.plan_.epochs * n)

                def progress(done, loss):
                    bar.update(done)
                    bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
                return progress
            yield started


class MACHClassifier(_Classifier):
    """MACH: R repetitions of a small classifier over B hashed buckets of the labels; memory grows with the logarithm of their number.

    Every setting that is None is chosen by the size of the training set (`sizing.plan`).
    reps, buckets : int, R and B. If both are None and R x B would be at least the number of labels, every label gets a bucket of its own
        in one repetition, which is one-vs-all.
    hidden : tuple of up to two ints, sizes of the hidden layers of each repetition; () for linear ones.
    width : int, cells that the columns are hashed into; None uses them as they are while the model fits into `budget`.
    how : str, aggregation over the repetitions: "logit", "mean", "unbiased", "log", "min" or "median" (see `decode.top_k`); "auto" is
        "log".
    loss : str, "softmax" (by default for one label a row) or "logistic".  optimizer : str, "sgd", "momentum", "adagrad" or "adam".
    learning_rate : float, at the start, for rows of length 1; it falls to zero during `fit`.  epochs, batch_size : int.
    normalize : bool, whether rows are scaled to length 1, which suits sparse features; "auto" does it if the X of the first training
        call is sparse. Other rows are multiplied by one number, so that their mean squared length is 1 in the first training call, and do
        better with standardised columns.
    budget : int, bytes of parameters and optimizer state.  seed : int.  threads : int, all if None.  verbose : bool, a progress bar on
        standard error.  device : str, "cpu" or "cuda", where it trains and predicts; the fitted model is on the host either way.

    After `fit`: classes_ (labels,), multilabel_, sparse_output_, normalize_, scale_, n_features_in_, plan_ (sizing.Plan: all settings
    used and the memory of one-vs-all), model_ (Mach or Shallow, see `mach` and `modelfile.save`).
    Same seed, same model for any number of threads; on a device equal to a tolerance.
    Source: Medini et al. 2019, "Extreme classification in log memory".
    Example:
        >>> import numpy as np
        >>> X = np.array([[1.0, 0.0], [0.9, 0.2], [0.0, 1.0], [0.1, 0.8]])
        >>> MACHClassifier().fit(X, ["wine", "wine", "bread", "bread"]).predict([[0.8, 0.1], [0.0, 0.9]])
        array(['wine', 'bread'], dtype='<U5')
    """

    def __init__(self, reps=None, buckets=None, hidden=(), *, width=None, how="auto", loss=None, optimizer=None, learning_rate=None,
                 epochs=None, batch_size=None, normalize="auto", budget=None, seed=0, threads=None, verbose=False, device="cpu"):
        self.reps = reps
        self.buckets = buckets
        self.hidden = hidden
        self.width = width
        self.how = how
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.normalize = normalize
        self.budget = budget
        self.seed = seed
        self.threads = threads
        self.verbose = verbose
        self.device = device

    def _settings(self):
        return {"kind": "mach", "reps": self.reps, "buckets": self.buckets, "hidden": tuple(self.hidden), "width": self.width,
                "budget": self.budget}


class LinearClassifier(_Classifier):
    """One-vs-all: a column of weights for every label, with the kernels of MACH; multinomial for one label a row, else logistic.

    Parameters and attributes are those of `MACHClassifier`; there is nothing to aggregate, and the columns are used as they are.
    Example:
        >>> import numpy as np
        >>> X, y = np.eye(3), np.array([[1, 0], [0, 1], [1, 1]])
        >>> LinearClassifier().fit(X, y).predict(X)
        array([[1, 0],
               [0, 1],
               [1, 1]])
    """

    def __init__(self, *, loss=None, optimizer=None, learning_rate=None, epochs=None, batch_size=None, normalize="auto", budget=None,
                 seed=0, threads=None, verbose=False, device="cpu"):
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.normalize = normalize
        self.budget = budget
        self.seed = seed
        self.threads = threads
        self.verbose = verbose
        self.device = device

    def _settings(self):
        return {"kind": "linear", "budget": self.budget}
