"""Votes of nearest rows in plain Python: the specification. Rows are lists of (column, value), labels lists of numbers."""


def votes(rows, labels, queries, shortlists, nearest, power, budget, rescored, bar):
    """For each query the votes of its nearest rows for the labels on its shortlist, and whether one of product `bar` has the label."""
    out, same = [], []
    for query, shortlist in zip(queries, shortlists):
        query = sorted(((j, x) for j, x in query if x > 0), key=lambda entry: -entry[1])  # stable: ties as in the row
        known, used = [], 0
        for place, (j, x) in enumerate(query):
            size = sum(any(k == j and v > 0 for k, v in row) for row in rows)
            if place == 0 or used + size <= budget:
                known.append((j, x))
                used += size

        def product(row, features):
            return sum(x * v for j, x in features for k, v in row if k == j and v > 0)

        near = [i for i in range(len(rows)) if product(rows[i], known) > 0]
        near = sorted(near, key=lambda i: (-product(rows[i], known), i))[:rescored]
        near = sorted(near, key=lambda i: (-product(rows[i], query), i))[:nearest]
        out.append([sum(product(rows[i], query)**power for i in near if label in labels[i]) for label in shortlist])
        same.append([any(product(rows[i], query) >= bar for i in near if label in labels[i]) for label in shortlist])
    return out, same
