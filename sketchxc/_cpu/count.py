"""Loops that cut a buffer into words, lines or fields, and find which of them a summary holds."""
import numpy as np

from .._jit import serial
from .heavy import probe
from .text import next_word

NEWLINE, RETURN, SPACE, TAB = 10, 13, 32, 9


@serial
def words(data, letters, starts, stops):
    """Spans of the words of valid UTF-8 text, by the bitmap of letters; returns their number. The caller's thread owns everything."""
    n = 0
    at = 0
    while at < data.size:
        begin, at, length = next_word(data, at, data.size, letters)
        if length > 0:
            starts[n], stops[n] = begin, at
            n += 1
    return n


@serial
def lines(data, starts, stops):
    """Spans of the lines without their ends, "\\n" or "\\r\\n"; returns their number. The caller's thread owns everything."""
    n = 0
    begin = 0
    for at in range(data.size + 1):
        # The last line may lack its end, and after the last end there is no line.
        if at == data.size and begin == at or at < data.size and data[at] != NEWLINE:
            continue
        starts[n] = begin
        stops[n] = at - 1 if at > begin and data[at - 1] == RETURN else at
        n += 1
        begin = at + 1
    return n


@serial
def fields(data, starts, stops, n, number, separator):
    """Field `number` (from 1) of each of n lines, in place of the line; lines that have none are dropped. Returns how many are left.

    separator : a byte, or 0 for runs of blanks and tabs, those at the begin of a line set aside. The caller's thread owns everything."""
    left = 0
    for i in range(n):
        at, stop = starts[i], stops[i]
        found = 0
        while at <= stop and found < number:
            if separator == 0:
                while at < stop and (data[at] == SPACE or data[at] == TAB):
                    at += 1
                if at == stop:
                    break
            begin = at
            while at < stop and not (data[at] == separator or separator == 0 and (data[at] == SPACE or data[at] == TAB)):
                at += 1
            found += 1
            if found == number:
                starts[left], stops[left] = begin, at
                left += 1
            at += 1
    return left


@serial
def first_places(table, seed, keys, places):
    """Number of the first of `keys` in each slot of a Misra-Gries table that holds one of them; the others stay. One thread owns all."""
    for i in range(keys.size - 1, -1, -1):
        slot = probe(table, keys[i], seed)
        places[slot] = i if table[slot, 1] != np.uint64(0) else places[slot]
