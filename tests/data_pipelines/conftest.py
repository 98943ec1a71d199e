"""Sets of small pictures on disk."""

import cv2
import numpy as np
import pytest


def smooth(seed, height=24, width=32):
    """A picture that resembles no picture of another seed."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.fixture
def write_pair():
    """A function that writes one scene below a root and returns its visible image."""

    def write(root, name, *, folders=("visible", "infrared"), seed=None, size=(24, 32), suffix=".png"):
        picture = smooth(int.from_bytes(name.encode()[-8:], "big") if seed is None else seed, *size)
        for folder in folders:
            path = root / folder / f"{name}{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = picture if folder == folders[0] else 255 - picture[:, :, 0]
            path.write_bytes(cv2.imencode(suffix.lower(), image)[1].tobytes())
        return picture

    return write
