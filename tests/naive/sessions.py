"""Next items of sessions in plain Python: the specification. Sessions are lists of item numbers, the earliest session first."""
import math


def prefixes(sessions):
    return [(row[:end], row[end]) for row in sessions for end in range(1, len(row))]


def neighbours(sessions, row, k, memory=30, recency=1.75, repeat=0.8, popular=100):
    """[(item, score)], best first, ties by the smaller item; popular items with a score of 0 follow."""
    holders = {}
    for s, items in enumerate(sessions):
        for item in set(items):
            holders.setdefault(item, []).append(s)
    similar, shared = {}, set()
    for age, item in enumerate(row[::-1][:memory]):
        if item not in shared:
            shared.add(item)
            for s in holders.get(item, []):
                weight = math.exp(-age / 10) / (1 + age) / math.log(2 + len(holders[item]))**2
                similar[s] = similar.get(s, 0.0) + weight
    sums = {}
    for s, weight in similar.items():
        items = sessions[s]
        weight *= math.exp(-recency * (len(sessions) - s) / len(sessions)) / len(items)**0.2
        last = max(p for p, item in enumerate(items) if item in shared)
        for p, item in enumerate(items):
            sums[item] = sums.get(item, 0.0) + weight / (1 + abs(p - last))
    scores = {item: x / len(holders[item])**0.16 * (repeat if item == row[-1] else 1) for item, x in sums.items()}
    best = sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))[:k]
    flat = [item for items in sessions for item in items]
    counts = {}
    for item in flat[-max(1, len(flat) // 9):]:
        counts[item] = counts.get(item, 0) + 1
    others = [item for item, _ in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))[:popular]]
    found = {item for item, _ in best}
    return (best + [(item, 0.0) for item in others if item not in found])[:k]


def recent(row, n_items, places=12):
    """{column: value} of the last items of a row, of length 1."""
    values = {}
    for age, item in enumerate(row[::-1][:places]):
        if item < n_items:
            column = item + n_items * min(age, 2)
            values[column] = values.get(column, 0.0) + (0.7 / age if age else 1.0)
    length = math.sqrt(sum(x * x for x in values.values()))
    return {column: x / length for column, x in values.items()}


def repeats(row, items):
    """(is the last item of the row, is among those before) of each item."""
    return [(bool(row) and item == row[-1], item in row[:-1]) for item in items]
