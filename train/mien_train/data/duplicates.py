"""Near-duplicates between sets. In FER-2013, one test image in twelve is also in the training split."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mien_train.data.datasets import FaceSet
from mien_train.data.landmarks import decode_image

SIDE = 16


def difference_hashes(faces: FaceSet) -> NDArray[np.uint64]:
    """(N, 4) 256-bit difference hashes: is each pixel of a 17 x 16 gray thumbnail brighter than its left neighbor?"""
    hashes = np.zeros((len(faces), SIDE * SIDE // 64), np.uint64)
    for i in range(len(faces)):
        gray = cv2.cvtColor(decode_image(faces.encoded(i)), cv2.COLOR_BGR2GRAY)
        small = cv2.resize(gray, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
        hashes[i] = np.packbits((small[:, 1:] > small[:, :-1]).ravel()).view(np.uint64)
    return hashes


def repeats(hashes: NDArray[np.uint64], others: NDArray[np.uint64], near: int) -> NDArray[np.bool_]:
    """(N,) whether the hash of each picture differs from one of the others in at most ``near`` of 256 bits."""
    if not len(others):
        return np.zeros(len(hashes), bool)
    return np.array([bool((np.bitwise_count(others ^ one).sum(1) <= near).any()) for one in hashes])
