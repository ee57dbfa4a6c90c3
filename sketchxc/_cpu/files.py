"""Extreme Classification Repository text: bytes to arrays and back, one thread. A newline at the end of the text stops every scan."""
import math

import numpy as np

from .._jit import scalar, serial
from .._scalar.files import scaled, shortest

# What `parse` found wrong; the public module turns the numbers into sentences.
BAD_LABEL, LARGE_LABEL, BAD_FEATURE, LARGE_FEATURE, BAD_VALUE, REPEATED_FEATURE = range(1, 7)
TAB, NEWLINE, RETURN, BLANK, PLUS, COMMA, MINUS, POINT, ZERO, COLON, LARGE_E, SMALL_E = np.frombuffer(b"\t\n\r +,-.0:Ee", np.uint8).tolist()


@scalar
def is_end(text, at):
    """Whether the line ends at byte `at`: a newline, or a carriage return with a newline behind it."""
    return text[at] == NEWLINE or (text[at] == RETURN and text[at + 1] == NEWLINE)


@scalar
def is_gap(text, at):
    """Whether a token ends at byte `at`."""
    return text[at] == BLANK or text[at] == TAB or is_end(text, at)


@scalar
def whole_number(text, at):
    """Number that the digits from byte `at` on spell (2**31 if it is larger) and the byte behind them."""
    number = 0
    while ZERO <= text[at] <= ZERO + 9:
        number = number * 10 + (np.int64(text[at]) - ZERO)
        number = number if number < 2147483648 else 2147483648
        at += 1
    return number, at


@scalar
def decimal(text, at):
    """Decimal number at byte `at`: its float32, whether that is certain, and the byte behind it (-1 if no number stands there)."""
    negative = text[at] == MINUS
    if negative or text[at] == PLUS:
        at += 1
    mantissa = 0
    exponent = 0
    digits = 0
    whole = True
    behind_point = False
    while True:
        if ZERO <= text[at] <= ZERO + 9:
            digits += 1
            if mantissa < 100000000000000000:
                mantissa = mantissa * 10 + (np.int64(text[at]) - ZERO)
                exponent -= 1 if behind_point else 0
            else:
                whole = False
                exponent += 0 if behind_point else 1
        elif text[at] == POINT and not behind_point:
            behind_point = True
        else:
            break
        at += 1
    if digits == 0:
        return np.float32(0.0), True, -1
    if text[at] == SMALL_E or text[at] == LARGE_E:
        at += 1
        down = text[at] == MINUS
        if down or text[at] == PLUS:
            at += 1
        first = at
        power, at = whole_number(text, at)
        if at == first:
            return np.float32(0.0), True, -1
        exponent += -power if down else power
    value, certain = scaled(mantissa, exponent, whole)
    return -value if negative else value, certain, at


@serial
def sort(ids, values, first, last, with_values):
    """Shell sort of `ids[first:last]` (gaps n/3), `values` moving along; rows are short and mostly sorted already."""
    gap = 1
    while gap < (last - first) // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(first + gap, last):
            key = ids[i]
            value = values[i] if with_values else np.float32(0.0)
            j = i
            while j >= first + gap and ids[j - gap] > key:
                ids[j] = ids[j - gap]
                if with_values:
                    values[j] = values[j - gap]
                j -= gap
            ids[j] = key
            if with_values:
                values[j] = value
        gap //= 3


@serial
def parse(text, n_features, n_labels, label_ptr, labels, ptr, features, values, slow, report):
    """Parse whole lines into two CSR matrices; stops at the first error.

    The caller sizes the outputs by the bytes of `text`: a label takes at least 2, a feature 4, a row 1. `slow` (m, 4) lists the values that
    need exact arithmetic: first byte, end, position in `values`, line. `report`: rows, labels, features, slow values, empty lines at the
    end, largest label, largest feature, error, first byte and end of the wrong token, its line (from 0).
    """
    at = 0
    row = 0
    nl = 0
    nf = 0
    ns = 0
    tail = 0
    top_label = -1
    top_feature = -1
    error = 0
    start = 0
    label_ptr[0] = 0
    ptr[0] = 0
    while at < text.size:
        tail = tail + 1 if is_end(text, at) else 0
        ascending = True
        first = nl
        if not is_gap(text, at):
            start = at
            number, at = whole_number(text, at)
            if text[at] == COLON:
                at = start
            else:
                while True:
                    if at == start or not (text[at] == COMMA or is_gap(text, at)):
                        error = BAD_LABEL
                        break
                    if number >= n_labels:
                        error = LARGE_LABEL
                        break
                    ascending = ascending and (nl == first or labels[nl - 1] < number)
                    labels[nl] = number
                    nl += 1
                    top_label = number if number > top_label else top_label
                    if text[at] != COMMA:
                        break
                    start = at + 1
                    number, at = whole_number(text, start)
                if error != 0:
                    break
        if not ascending:
            sort(labels, values, first, nl, False)
            kept = first + 1
            for j in range(first + 1, nl):
                if labels[j] != labels[kept - 1]:
                    labels[kept] = labels[j]
                    kept += 1
            nl = kept
        ascending = True
        first = nf
        first_slow = ns
        begin = at
        while True:
            while text[at] == BLANK or text[at] == TAB:
                at += 1
            if is_end(text, at):
                break
            start = at
            number, at = whole_number(text, at)
            if at == start or text[at] != COLON:
                error = BAD_FEATURE
                break
            if number >= n_features:
                error = LARGE_FEATURE
                break
            value, certain, at = decimal(text, at + 1)
            if at < 0 or not is_gap(text, at):
                error = BAD_VALUE
                break
            if not certain:
                slow[ns, 0] = start
                slow[ns, 1] = at
                slow[ns, 2] = nf
                slow[ns, 3] = row
                ns += 1
            ascending = ascending and (nf == first or features[nf - 1] < number)
            features[nf] = number
            values[nf] = value
            nf += 1
            top_feature = number if number > top_feature else top_feature
        if error != 0:
            break
        if not ascending:
            # A slow value is found again after the sort by the only thing that is distinct in the row, its feature.
            for i in range(first_slow, ns):
                slow[i, 2] = features[slow[i, 2]]
            sort(features, values, first, nf, True)
            for j in range(first + 1, nf):
                if features[j] == features[j - 1]:
                    error = REPEATED_FEATURE
                    start = begin
                    seen = 0
                    while seen < 2:
                        while text[start] == BLANK or text[start] == TAB:
                            start += 1
                        number, at = whole_number(text, start)
                        seen += 1 if number == features[j] else 0
                        if seen < 2:
                            start = at
                            while not is_gap(text, start):
                                start += 1
                    break
            if error != 0:
                ns = first_slow
                break
            for i in range(first_slow, ns):
                slow[i, 2] = first + np.searchsorted(features[first:nf], slow[i, 2])
        at += 1 if text[at] == NEWLINE else 2
        row += 1
        label_ptr[row] = nl
        ptr[row] = nf
    if error != 0:
        at = start
        while not (is_gap(text, at) or ((error == BAD_LABEL or error == LARGE_LABEL) and text[at] == COMMA)):
            at += 1
    report[0] = row
    report[1] = nl
    report[2] = nf
    report[3] = ns
    report[4] = tail
    report[5] = top_label
    report[6] = top_feature
    report[7] = error
    report[8] = start
    report[9] = at
    report[10] = row


@scalar
def put_number(out, at, number):
    """Write the decimal digits of a non-negative integer at `out[at:]`; the position behind them."""
    end = at + 1
    rest = number // 10
    while rest > 0:
        end += 1
        rest //= 10
    for i in range(end - 1, at - 1, -1):
        out[i] = ZERO + number % 10
        number //= 10
    return end


@scalar
def put_value(out, at, value):
    """Write the shortest decimal of a finite float32 at `out[at:]` (at most 18 bytes); the position behind it."""
    if value < 0 or (value == 0 and math.copysign(1.0, value) < 0):
        out[at] = MINUS
        at += 1
        value = -value
    if value == 0:
        out[at] = ZERO
        return at + 1
    digits, exponent = shortest(value)
    size = 1
    rest = digits // 10
    while rest > 0:
        size += 1
        rest //= 10
    top = size - 1 + exponent
    if 0 <= exponent and top < 10:
        at = put_number(out, at, digits)
        for _ in range(exponent):
            out[at] = ZERO
            at += 1
    elif -5 < top < 10:
        lead = -top if top < 0 else 0  # zeros before the first digit
        for j in range(lead):
            out[at + j] = ZERO
        end = put_number(out, at + lead, digits)
        point = at + 1 if top < 0 else at + top + 1
        for j in range(end, point, -1):
            out[j] = out[j - 1]
        out[point] = POINT
        at = end + 1
    else:
        end = put_number(out, at, digits)
        if size > 1:
            for j in range(end, at + 1, -1):
                out[j] = out[j - 1]
            out[at + 1] = POINT
            end += 1
        out[end] = SMALL_E
        at = end + 1
        if top < 0:
            out[at] = MINUS
            at += 1
        at = put_number(out, at, top if top > 0 else -top)
    return at


@serial
def write(label_ptr, labels, ptr, features, values, first, last, out):
    """Write rows `first` to `last` as lines; bytes used. A label takes at most 11 bytes, a feature 30, the rest of a row 2."""
    at = 0
    for i in range(first, last):
        for j in range(label_ptr[i], label_ptr[i + 1]):
            if j > label_ptr[i]:
                out[at] = COMMA
                at += 1
            at = put_number(out, at, labels[j])
        if ptr[i] == ptr[i + 1] and label_ptr[i] == label_ptr[i + 1]:
            out[at] = BLANK  # an empty line at the end of a file would be no row
            at += 1
        for j in range(ptr[i], ptr[i + 1]):
            out[at] = BLANK
            at = put_number(out, at + 1, features[j])
            out[at] = COLON
            at = put_value(out, at + 1, values[j])
        out[at] = NEWLINE
        at += 1
    return at
