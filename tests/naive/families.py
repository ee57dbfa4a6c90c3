"""Hash families in plain Python integers: the specification."""
P = 2**61 - 1


def multiply_shift(factors, keys):
    return [[factor * key % 2**64 for key in keys] for factor in factors]


def polynomial(coefficients, keys):
    return [[(sum(c * pow(key % P, j, P) for j, c in enumerate(row[:-1])) + row[-1] * (key // P)) % P for key in keys]
            for row in coefficients]


def tabulation(tables, keys):
    out = []
    for rows in tables:
        line = []
        for key in keys:
            word = 0
            for j in range(8):
                word ^= rows[j][key >> 8 * j & 255]
            line.append(word)
        out.append(line)
    return out


def bucket(word, bits, width):
    return (word >> bits - 32) * width >> 32


def sign(word):
    return 1 if word & 1 else -1
