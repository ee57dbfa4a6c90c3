"""Hashed token rows of short titles beside scikit-learn's HashingVectorizer and FeatureHasher, same tokens, interleaved in one process."""
import argparse
import functools
import platform
import re
import time

import numba
import numpy as np

from sketchxc import text


def titles(n, words=11, distinct=100_000):
    """`n` titles of `words` words each, drawn by Zipf's law from made-up words of about six letters."""
    rng = np.random.default_rng(0)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    lengths = np.clip(rng.normal(6, 2.2, distinct).round(), 1, 14).astype(int).tolist()
    known = ["".join(letters[j] for j in np.minimum(rng.geometric(0.12, length) - 1, 25)).capitalize() for length in lengths]
    chance = 1 / np.arange(1, distinct + 1)
    drawn = rng.choice(distinct, (n, words), p=chance / chance.sum())
    return [" ".join([known[j] for j in row]) for row in drawn.tolist()]


def peers(texts, width, words, chars):
    """(name, call) of scikit-learn on a part of the texts; only for one kind of tokens, which is all that one vectorizer can do."""
    try:
        from sklearn.feature_extraction import FeatureHasher
        from sklearn.feature_extraction.text import HashingVectorizer
    except ImportError:
        return
    plain = {"n_features": width, "norm": None, "alternate_sign": False}
    word = re.compile(r"[^\W_]+")  # \w without the underscore: the characters of str.isalnum, for these texts
    if words:
        vectorizer = HashingVectorizer(ngram_range=words, token_pattern=word.pattern, **plain)
        yield "HashingVectorizer,", lambda: vectorizer.transform(texts)
        hasher = FeatureHasher(width, input_type="string", alternate_sign=False)
        if words == (1, 1):
            yield "FeatureHasher,", lambda: hasher.transform(word.findall(item.lower()) for item in texts)
    if chars:
        char = HashingVectorizer(ngram_range=chars, analyzer="char_wb", **plain)
        yield "HashingVectorizer, char_wb,", lambda: char.transform(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000, help="titles of 11 words")
    parser.add_argument("--peer-texts", type=int, default=50_000, help="titles for scikit-learn")
    parser.add_argument("--width", type=int, default=2**20, help="columns")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds")
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that it runs")
    args = parser.parse_args()
    if args.smoke:
        args.texts, args.peer_texts, args.rounds = 500, 200, 1
    texts = titles(args.texts)
    print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, NumPy {np.__version__}, "
          f"numba {numba.__version__}, {numba.get_num_threads()} threads; {args.texts:,} titles, "
          f"{sum(map(len, texts)) / args.texts:.1f} characters each")
    start = time.perf_counter()
    text.hash_texts(texts[:10], args.width)
    print(f"first call {time.perf_counter() - start:.2f} s")
    both = {"words": (1, 2), "chars": (3, 3)}
    frequent = text.vocabulary(texts[:args.peer_texts], 100_000, **both)
    rows = [("hash_texts, words 1", lambda: text.hash_texts(texts, args.width), args.texts),
            ("hash_texts, words 1-2, chars 3", lambda: text.hash_texts(texts, args.width, **both), args.texts),
            ("lookup_texts, words 1-2, chars 3", lambda: text.lookup_texts(texts, frequent, bins=args.width, **both), args.texts),
            ("vocabulary, words 1-2, chars 3", lambda: text.vocabulary(texts, 100_000, **both), args.texts)]
    part = texts[:args.peer_texts]
    for words, chars in (((1, 1), None), ((1, 2), None), (None, (3, 3))):
        name = f"{'words' if words else 'chars'} {(words or chars)[0]}-{(words or chars)[1]}"
        ours = functools.partial(text.hash_texts, part, args.width, words=words, chars=chars)
        rows.append((f"hash_texts on the part, {name}", ours, len(part)))
        rows += [(f"{peer} {name}", call, len(part)) for peer, call in peers(part, args.width, words, chars)]
    taken = {}
    for _ in range(args.rounds):
        for name, call, _ in rows:
            start = time.perf_counter()
            call()
            taken.setdefault(name, []).append(time.perf_counter() - start)
    for name, _, n in rows:
        best, median = min(taken[name]), sorted(taken[name])[args.rounds // 2]
        print(f"{name:52} {n:>10,} texts  best {best:8.3f} s  median {median:8.3f} s  {best / n * 1e6:7.2f} us/text")


if __name__ == "__main__":
    main()
