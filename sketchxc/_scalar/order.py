"""Short lists put in order where they stand: a few numbers are sorted faster by insertion than by anything that needs scratch."""
from .._jit import scalar


@scalar
def insert(numbers, count, number):
    """Put a number among the first `count`, which ascend and move up to make room."""
    j = count
    while j > 0 and numbers[j - 1] > number:
        numbers[j] = numbers[j - 1]
        j -= 1
    numbers[j] = number


@scalar
def sort(numbers, count):
    """Sort the first `count` numbers, ascending."""
    for i in range(1, count):
        insert(numbers, i, numbers[i])


@scalar
def sort_pairs(keys, values, count):
    """Sort the first `count` pairs of a key and a value by key, ascending; equal keys keep their order."""
    for i in range(1, count):
        key, value = keys[i], values[i]
        j = i
        while j > 0 and keys[j - 1] > key:
            keys[j] = keys[j - 1]
            values[j] = values[j - 1]
            j -= 1
        keys[j] = key
        values[j] = value
