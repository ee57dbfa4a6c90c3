"""Near-duplicate removal: of documents that are nearly the same, one a line, only the first stays.

    python near_duplicates.py corpus.txt kept.txt --threshold 0.8
    zcat corpus.gz | python near_duplicates.py > kept.txt 2> dropped.txt

A document is the set of its word n-grams of 1 to --words words; two documents are alike where the Jaccard similarity of their sets, as
MinHash estimates it, reaches the threshold, and whatever a chain of such pairs connects is one group. What was dropped goes to stderr: its
line, the line that stays for it, and the estimated similarity of the two, which may be below the threshold at the end of a chain. Memory:
4 bytes for each permutation of each document; the texts are read twice (standard input through a temporary file) and never held.
"""
import argparse
import itertools
import shutil
import sys
import tempfile

import numpy as np

from sketchxc import hashing, minhash, text


def signatures(lines, permutations, words, seed):
    """MinHash signatures of documents given as bytes; one without a word is the set of its bytes' hash."""
    texts = [line.decode(errors="replace") for line in lines]
    starts, keys = text.token_keys(texts, words=(1, words), seed=seed)
    bare = np.flatnonzero(starts[1:] == starts[:-1])
    keys = np.insert(keys, starts[bare], hashing.hash_strings([lines[i] for i in bare], seed=seed))
    starts[1:] += np.cumsum(starts[1:] == starts[:-1])
    return minhash.signatures((starts, keys), permutations, seed=seed).values


def blocks(file, size):
    """Lists of up to `size` lines as bytes, without their ends."""
    while lines := [line.rstrip(b"\r\n") for line in itertools.islice(file, size)]:
        yield lines


def deduplicate(source, target, report, *, threshold=0.8, permutations=128, words=3, seed=0, size=10_000):
    """Copy the lines of a binary file that stay, tell of the others; returns how many lines were read and how many stayed."""
    start = source.tell()
    parts = [signatures(lines, permutations, words, seed) for lines in blocks(source, size)]
    found = minhash.Signatures(np.concatenate([np.empty((0, permutations), np.uint32), *parts]), seed)
    del parts
    group = minhash.duplicates(found, threshold)
    stays = group == np.arange(group.size)
    dropped = np.flatnonzero(~stays)
    similarity = minhash.jaccard(found, found, np.stack([group[dropped], dropped], axis=1))
    for i, share in zip(dropped.tolist(), similarity.tolist()):
        print(f"line {i + 1} dropped: like line {group[i] + 1}, similarity {share:.2f}", file=report)
    source.seek(start)
    for line, stay in zip(source, stays):
        if stay:
            target.write(line)
    return group.size, int(stays.sum())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default="-", help="text file, one document a line; - for standard input")
    parser.add_argument("target", nargs="?", default="-", help="file for the lines that stay; - for standard output")
    parser.add_argument("--threshold", type=float, default=0.8, help="similarity, above 0 and at most 1, from which documents are alike")
    parser.add_argument("--permutations", type=int, default=128, help="values of a signature; the estimate errs by 0.5 / root of them")
    parser.add_argument("--words", type=int, default=3, help="words in the longest n-gram")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    with (tempfile.TemporaryFile() if args.source == "-" else open(args.source, "rb")) as source:
        if args.source == "-":
            shutil.copyfileobj(sys.stdin.buffer, source)
            source.seek(0)
        options = dict(threshold=args.threshold, permutations=args.permutations, words=args.words, seed=args.seed)
        if args.target == "-":
            read, kept = deduplicate(source, sys.stdout.buffer, sys.stderr, **options)
            sys.stdout.flush()
        else:
            with open(args.target, "wb") as target:
                read, kept = deduplicate(source, target, sys.stderr, **options)
    print(f"{read:,} documents read, {kept:,} kept", file=sys.stderr)
    return read, kept


if __name__ == "__main__":
    main()
