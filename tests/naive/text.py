"""Tokens of texts in plain Python: the specification."""
from collections import Counter

from .hashing import bucket, hash_bytes, mix


def words_of(text):
    return "".join(c if c.isalnum() else " " for c in text.lower()).split(" ")


def token_keys(texts, words=(1, 1), chars=None, seed=0):
    """List of keys of each text."""
    out = []
    for text in texts:
        found = [word for word in words_of(text) if word]
        keys, hashes = [], [hash_bytes(word.encode(), mix(1 << 32 | 1, seed)) for word in found]
        for n in range(words[0], words[1] + 1) if words else ():
            for i in range(len(found) - n + 1):
                key = mix(1 << 32 | n, seed)
                for word in hashes[i:i + n]:
                    key = mix(key ^ word)
                keys.append(key if n > 1 else hashes[i])
        for word in found:
            padded = "#" + word + "#"
            for n in range(chars[0], chars[1] + 1) if chars else ():
                keys += [hash_bytes(padded[i:i + n].encode(), mix(2 << 32 | n, seed)) for i in range(len(padded) - n + 1)]
        out.append(keys)
    return out


def _row(columns):
    total = Counter()
    for column, value in columns:
        total[column] += value
    return sorted(total.items())


def hash_texts(texts, width, words=(1, 1), chars=None, seed=0, signed=False):
    """List of (column, count) of each text."""
    return [_row((bucket(mix(key, seed), width), 2 * (mix(key, seed) & 1) - 1 if signed else 1) for key in keys)
            for keys in token_keys(texts, words, chars, seed)]


def vocabulary(texts, size, words=(1, 1), chars=None, seed=0, min_rows=1):
    rows = Counter(key for keys in token_keys(texts, words, chars, seed) for key in set(keys))
    frequent = sorted((-count, key) for key, count in rows.items() if count >= min_rows)
    return sorted(key for _, key in frequent[:size])


def lookup_texts(texts, vocabulary, bins, words=(1, 1), chars=None, seed=0):
    def columns(keys):
        for key in keys:
            if key in vocabulary:
                yield vocabulary.index(key), 1
            elif bins:
                yield len(vocabulary) + bucket(mix(key, seed), bins), 1
    return [_row(columns(keys)) for keys in token_keys(texts, words, chars, seed)]
