"""MinHash in plain Python."""
MASK = 2**64 - 1


def mix64(key):
    key = (key ^ key >> 33) * 0xFF51AFD7ED558CCD & MASK
    key = (key ^ key >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return key ^ key >> 33


def signature(keys, seeds):
    return [min((mix64(key % 2**64 ^ seed) >> 32 for key in keys), default=2**32 - 1) for seed in seeds]


def candidates(values, bands, rows):
    return [[i, j] for i in range(len(values)) for j in range(i + 1, len(values))
            if any(values[i][b * rows:b * rows + rows] == values[j][b * rows:b * rows + rows] for b in range(bands))]


def groups(n, pairs):
    group = list(range(n))
    for _ in range(n):
        for i, j in pairs:
            group[i] = group[j] = min(group[i], group[j])
    return group
