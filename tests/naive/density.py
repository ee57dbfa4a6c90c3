"""Density sketches in plain Python: exact where all products are, and kernels by numerical integration of their definitions."""
import math

from .minhash import MASK, mix64

GOLDEN = 0x9E3779B97F4A7C15


def column(products, offsets, seed, kind, width):
    """Column of a point in one row, from its products with the row's vectors."""
    if kind == "angular":
        code = sum((product >= 0) << (len(products) - 1 - k) for k, product in enumerate(products))
        return code if width == 2**len(products) else (mix64(code ^ seed) >> 32) * width >> 32
    code = seed
    for product, offset in zip(products, offsets):
        step = math.floor(min(max(product + offset, -2**30), 2**30))
        code = mix64(code ^ step % 2**64) + GOLDEN & MASK
    return (code >> 32) * width >> 32


def columns(points, projections, offsets, seeds, kind, width):
    """Columns of each point in each row."""
    values = len(projections) // len(seeds)
    found = []
    for point in points:
        products = [sum(a * b for a, b in zip(line, point)) for line in projections]
        found.append([column(products[d * values:][:values], offsets[d * values:][:values], seed, kind, width)
                      for d, seed in enumerate(seeds)])
    return found


def score(query, points, width, hashed):
    """Density at a query from its columns and those of all points."""
    total = len(points)
    mean = sum(a == b for point in points for a, b in zip(query, point)) / len(query)
    return ((width * mean - total) / (width - 1) if hashed else mean) / total


def collision(kind, distance, bandwidth, steps=200_000):
    """Mean over offsets of the probability to stay in the step: integral of the density of |a (x - y)| times 1 - u / bandwidth."""
    if kind == "angular":
        return 1 - distance / math.pi
    normal, cauchy = lambda z: 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), lambda z: 2 / (math.pi * (1 + z * z))
    density = normal if kind == "euclidean" else cauchy
    h = bandwidth / distance / steps
    return sum(density((i + 0.5) * h) * (1 - (i + 0.5) / steps) for i in range(steps)) * h


def splitmix(n, seed):
    out = []
    for i in range(1, n + 1):
        z = seed + i * GOLDEN & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        out.append(z ^ z >> 31)
    return out


def sample(scores, qualities, n, seed):
    """Points whose exponential clocks, with rates quality / score, ring first."""
    times = []
    for i, (score, quality, draw) in enumerate(zip(scores, qualities, splitmix(len(scores), seed))):
        if quality:
            times.append((-math.log(((draw >> 11) + 0.5) / 2**53) * score / quality, i))
    return [i for _, i in sorted(times)[:n]]
