"""Hashed embeddings in plain Python numbers and lists: the specification."""
from naive.hashing import bucket, hash_bytes, mix
from naive.hashing import seeds as stream


def feature_seeds(names, chunks, seed):
    """Per feature the list of its seeds."""
    return [stream(count, hash_bytes(name.encode(), seed)) for name, count in zip(names, chunks)]


def feature_ids(values, seeds, size):
    """Per row the ids of all lookups, feature after feature."""
    return [[bucket(mix(value, s), size) for value, own in zip(row, seeds) for s in own] for row in values]


def codes(keys, seeds):
    return [[2 * (mix(key, s) >> 40) / 2**24 - 1 for s in seeds] for key in keys]


def lookups(keys, indptr, weights, how, seeds, size):
    """Per bag its (id, factor) pairs; weights hold one list per key."""
    bags = []
    for a, b in zip(indptr, indptr[1:]):
        pairs = []
        for k in range(a, b):
            ids = [keys[k]] if seeds is None else [bucket(mix(keys[k], s), size) for s in seeds]
            pairs += zip(ids, [1.0] * len(ids) if weights is None else weights[k])
        bags.append([(i, 1.0 / len(pairs)) if how == "mean" else (i, w) for i, w in pairs])
    return bags


def bag(table, bags):
    return [[sum(w * table[i][j] for i, w in pairs) for j in range(len(table[0]))] for pairs in bags]


def bag_grads(bags, grads):
    """{row: gradient} of the rows that occur."""
    out = {}
    for pairs, slope in zip(bags, grads):
        for i, w in pairs:
            out[i] = [a + w * g for a, g in zip(out.get(i, [0.0] * len(slope)), slope)]
    return out


def weight_grads(bags, table, grads):
    return [sum(t * g for t, g in zip(table[i], slope)) for pairs, slope in zip(bags, grads) for i, _ in pairs]
