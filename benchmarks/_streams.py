"""Real streams of keys for the benchmarks, where a folder holds them: market baskets, click sessions, words of a text."""
import lzma
import os

import numpy as np

from sketchxc import hashing

FILES = {"retail baskets": ("fimi", "retail.dat.xz"), "BMS1 clicks": ("fimi", "BMS1.dat.xz"),
         "words of a novel": ("words", "war_and_peace.txt.xz")}


def real_streams(folder):
    """(name, int64 keys) of each file that is there, in the order of the file; a line for each that is not.

    folder : name of a folder with fimi/retail.dat.xz, fimi/BMS1.dat.xz and words/war_and_peace.txt.xz, or None."""
    for name, place in FILES.items():
        path = os.path.join(folder or "", *place)
        if not folder or not os.path.isfile(path):
            print(f"{name}: skipped, {f'no file {path}' if folder else 'no folder given (--data)'}")
            continue
        with lzma.open(path, "rt", encoding="utf-8", errors="replace") as file:
            tokens = file.read().split()
        yield name, hashing.hash_strings(tokens).view(np.int64) if place[0] == "words" else np.array(tokens, np.int64)
