"""Data files in plain Python: one line after the other, lists of tuples."""
import re
import struct

LIMIT = 2**31 - 1
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Wrong(Exception):
    """The number of the wrong line."""


def float32(text):
    """float32(float(text)) as a Python float; None if that is not finite."""
    try:
        number = struct.unpack("f", struct.pack("f", float(text)))[0]
    except OverflowError:
        return None
    return number if number - number == 0 else None


def parse_row(line, features, labels):
    """(sorted distinct labels, sorted (feature, value) pairs) of one line; ValueError if it is malformed."""
    own, pairs = set(), {}
    words = [word for word in re.split("[ \t]", line) if word]
    if words and line[0] not in " \t" and ":" not in words[0].split(",")[0]:
        for label in words.pop(0).split(","):
            if not re.fullmatch("[0-9]+", label) or int(label) >= labels:
                raise ValueError(label)
            own.add(int(label))
    for word in words:
        feature, colon, value = word.partition(":")
        if not re.fullmatch("[0-9]+", feature) or not NUMBER.fullmatch(value) or float32(value) is None:
            raise ValueError(word)
        if int(feature) >= features or int(feature) in pairs:
            raise ValueError(word)
        pairs[int(feature)] = float32(value)
    return sorted(own), sorted(pairs.items())


def read_xc(text):
    """(labels per row, pairs per row, number of features, number of labels) of a file's text."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    words = lines[0].split()
    announced = None
    features = labels = LIMIT
    if len(words) == 3 and all(re.fullmatch("[0-9]+", word) for word in words):
        announced, features, labels = map(int, words)
        if max(features, labels) > LIMIT:
            raise Wrong(1)
        lines = lines[1:]
    if lines and lines[-1] == "":
        lines.pop()
    last = max([i for i, line in enumerate(lines) if line] or [-1]) + 1
    first_line = 1 if announced is None else 2
    rows = []
    for i, line in enumerate(lines[:last]):
        if line and announced is not None and i >= announced:
            raise Wrong(announced + 2)
        try:
            rows.append(parse_row(line, features, labels))
        except ValueError:
            raise Wrong(first_line + i) from None
    if announced is None:
        if not rows:
            raise Wrong(1)
        features = max([f for _, pairs in rows for f, _ in pairs] or [-1]) + 1
        labels = max([label for own, _ in rows for label in own] or [-1]) + 1
    else:
        rows += [([], [])] * (min(announced, len(lines)) - len(rows))
        if len(rows) < announced:
            raise Wrong(len(rows) + 2)
    return [own for own, _ in rows], [pairs for _, pairs in rows], features, labels


def is_id(name):
    return re.fullmatch("0|[1-9][0-9]*", name, re.ASCII) is not None and int(name) < LIMIT


def read_text(text, names=None):
    """(texts, sorted distinct labels per row, names or None, number of labels)."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    while lines and lines[-1] == "":
        lines.pop()
    if not lines:
        raise Wrong(1)
    texts, own = [], []
    for i, line in enumerate(lines):
        head, tab, tail = line.partition("\t")
        labels = [label.strip() for label in head.split(",")] if head.strip() else []
        if not tab or "" in labels:
            raise Wrong(i + 1)
        texts.append(tail)
        own.append(labels)
    found = list(dict.fromkeys(label for labels in own for label in labels))
    if names is None and all(map(is_id, found)):
        rows = [sorted({int(label) for label in labels}) for labels in own]
        return texts, rows, None, max([-1] + [label for row in rows for label in row]) + 1
    names = sorted(found) if names is None else names + [name for name in found if name not in names]
    return texts, [sorted({names.index(label) for label in labels}) for labels in own], names, len(names)
