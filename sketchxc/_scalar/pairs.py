"""Pairs of a feature and a label."""
import numpy as np

from .._jit import scalar


@scalar
def pair_key(feature, label):
    """Key of a pair: the feature in the high half, the label in the low one."""
    return (np.uint64(feature) << np.uint64(32)) | np.uint64(label)
