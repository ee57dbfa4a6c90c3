"""Train one of three other libraries on files of the Extreme Classification Repository with its default settings, for `bench_xc.py`.

    python benchmarks/_peers.py {omikuji,pecos,napkinxc} TRAIN TEST [--threads 2] [--ranked FILE]

Runs in an environment that has the library, NumPy and SciPy (PECOS: scikit-learn too), not sketchxc. Prints one JSON line: train_s without
reading the file where the library can take rows, model_mb on disk, predict_ms a row by the library's batch call where it has one, p_at
(P@1, P@3, P@5 in percent) and peak_mb. `--ranked` writes the best 5 labels of each test row there, int32 (n, 5), -1 for none (.npy).
"""
import argparse
import json
import os
import resource
import tempfile
import time

import numpy as np
import scipy.sparse as sp

K = 5


def read(path):
    """Rows and labels of a file as CSR matrices."""
    labels, rows = ([0], []), ([0], [], [])
    with open(path, encoding="utf-8") as file:
        n, features, n_labels = map(int, file.readline().split())
        for line in file:
            first, _, rest = line.rstrip("\n").partition(" ")
            if ":" in first:  # a row without labels that does not begin with a blank
                first, rest = "", line
            labels[1].extend(int(label) for label in first.split(",") if label)
            labels[0].append(len(labels[1]))
            for entry in rest.split():
                feature, _, value = entry.partition(":")
                rows[1].append(int(feature))
                rows[2].append(float(value))
            rows[0].append(len(rows[1]))
    x = sp.csr_matrix((np.array(rows[2], np.float32), np.array(rows[1], np.int32), np.array(rows[0])), (n, features))
    y = sp.csr_matrix((np.ones(len(labels[1]), np.float32), np.array(labels[1], np.int32), np.array(labels[0])), (n, n_labels))
    x.sort_indices()
    y.sort_indices()
    return x, y


def lists(matrix):
    return [matrix.indices[a:b].tolist() for a, b in zip(matrix.indptr, matrix.indptr[1:])]


def omikuji(train, test, threads, folder):
    """Seconds of training and of ranking, and the best labels of every row; the model stays in the folder."""
    import omikuji as peer
    start = time.perf_counter()
    model = peer.Model.train_on_data(train, peer.Model.default_hyper_param(), threads)  # takes a file only
    train_s = time.perf_counter() - start
    model.save(folder)
    x, _ = read(test)
    rows = [list(zip(x.indices[a:b].tolist(), x.data[a:b].tolist())) for a, b in zip(x.indptr, x.indptr[1:])]
    start = time.perf_counter()
    ranked = [[label for label, _ in model.predict(row, top_k=K)] for row in rows]  # one row a call only
    return train_s, time.perf_counter() - start, ranked


def pecos(train, test, threads, folder):
    from pecos.xmc import Indexer, LabelEmbeddingFactory
    from pecos.xmc.xlinear.model import XLinearModel
    from sklearn.preprocessing import normalize
    x, y = read(train)
    x = normalize(x)  # the other two do that themselves
    start = time.perf_counter()
    tree = Indexer.gen(LabelEmbeddingFactory.create(y, x, method="pifa"))
    model = XLinearModel.train(x, y, C=tree, threads=threads)
    train_s = time.perf_counter() - start
    model.save(folder)
    x = normalize(read(test)[0])
    start = time.perf_counter()
    scores = model.predict(x, only_topk=K, threads=threads).tocsr()
    predict_s = time.perf_counter() - start
    spans = zip(scores.indptr, scores.indptr[1:])
    return train_s, predict_s, [scores.indices[a:b][np.argsort(-scores.data[a:b], kind="stable")].tolist() for a, b in spans]


def napkinxc(train, test, threads, folder):
    from napkinxc.models import PLT
    x, y = read(train)
    model, own = PLT(folder, threads=threads), lists(y)
    start = time.perf_counter()
    model.fit(x, own)
    train_s = time.perf_counter() - start
    x, _ = read(test)
    start = time.perf_counter()
    ranked = model.predict(x, top_k=K)
    return train_s, time.perf_counter() - start, ranked


PEERS = {peer.__name__: peer for peer in (omikuji, pecos, napkinxc)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=list(PEERS))
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--ranked")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.join(folder, "model")
        train_s, predict_s, found = PEERS[args.peer](args.train, args.test, args.threads, place)
        files = [os.path.join(path, name) for path, _, names in os.walk(place) for name in names] or [place]
        model_mb = sum(map(os.path.getsize, files)) / 1e6
    truth = lists(read(args.test)[1])
    ranked = np.full((len(truth), K), -1, np.int32)
    for row, best in zip(ranked, found):
        best = [int(label) for label in list(best)[:K]]
        row[:len(best)] = best
    hits = np.array([[label in own for label in row] for row, own in zip(ranked.tolist(), map(set, truth))])
    if args.ranked:
        np.save(args.ranked, ranked)
    print(json.dumps({"peer": args.peer, "train_s": round(train_s, 2), "model_mb": round(model_mb, 2),
                      "predict_ms": round(1000 * predict_s / len(truth), 4),
                      "p_at": [round(100 * float(hits[:, :k].mean()), 2) for k in (1, 3, 5)],
                      "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
