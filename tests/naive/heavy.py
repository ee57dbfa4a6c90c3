"""Misra-Gries in a dictionary: the specification, count for count."""


class MisraGries:
    def __init__(self, capacity):
        self.capacity, self.counts, self.errors, self.offset, self.total = capacity, {}, {}, 0, 0

    def add(self, keys, counts=None):
        for key, count in zip(keys, [1] * len(keys) if counts is None else counts):
            if count and key not in self.counts:
                self.counts[key], self.errors[key] = 0, self.offset
            if count:
                self.counts[key] += count
                self.total += count
            if len(self.counts) > 2 * self.capacity:
                cut = sorted(self.counts.values(), reverse=True)[self.capacity]
                self.counts = {key: count - cut for key, count in self.counts.items() if count > cut}
                self.offset += cut


def truth(keys, counts=None):
    out = {}
    for key, count in zip(keys, [1] * len(keys) if counts is None else counts):
        out[key] = out.get(key, 0) + count
    return out
