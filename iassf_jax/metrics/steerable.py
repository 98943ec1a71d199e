"""Steerable pyramid in the Fourier domain (Simoncelli and Freeman 1995), float64 on the host.

Its masks come from the same interpolated tables as matlabPyrTools' `buildSFpyr`, because features that are
compared with published ones inherit their rounding.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float

ORIENTATIONS = 6
_RADIAL_STEPS = 256
_ANGULAR_STEPS = 1024


class Pyramid(NamedTuple):
    """What of the image is above, and in each octave and orientation below, half the sampling frequency."""

    highpass: Float[np.ndarray, "h w"]
    bands: list[list[Float[np.ndarray, "_ _"]]]  # scale (finest first, each half the size), orientation


def steerable_pyramid(image: Float[np.ndarray, "h w"], *, scales: int = 2) -> Pyramid:
    """Decompose an image into six orientations at each scale."""
    log_radius, angle = _polar(image.shape)
    position, rising = _radial_table()
    falling = np.sqrt(1.0 - rising**2)
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    highpass = _inverse(spectrum * np.interp(log_radius, position, rising))
    low = spectrum * np.interp(log_radius, position, falling)
    bands = []
    for _ in range(scales):
        position = position - 1.0
        ring = low * np.interp(log_radius, position, rising)
        bands.append([_inverse(ring * _direction(angle, k)) for k in range(ORIENTATIONS)])
        inner = tuple(_middle(length) for length in low.shape)
        log_radius, angle = log_radius[inner], angle[inner]
        low = low[inner] * np.interp(log_radius, position, falling)
    return Pyramid(highpass, bands)


def _polar(shape: tuple[int, ...]) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Binary logarithm of frequency / Nyquist frequency, and direction; frequency 0 is in the middle."""
    rows, columns = ((np.arange(n) - n // 2) / (n / 2) for n in shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    radius = np.hypot(x, y)
    radius[shape[0] // 2, shape[1] // 2] = 2 / shape[1]  # its neighbour's, since log2(0) is no number
    return np.log2(radius), np.arctan2(y, x)


def _radial_table() -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of frequency, and the amplitude that rises over the octave below the Nyquist frequency."""
    phase = np.pi * np.arange(-_RADIAL_STEPS - 1, 2) / (2 * _RADIAL_STEPS)
    power = np.cos(phase) ** 2
    power[0], power[-1] = power[1], power[-2]
    return -0.5 + 2.0 / np.pi * (phase + np.pi / 4), np.sqrt(power)


def _direction(angle: Float[np.ndarray, "h w"], orientation: int) -> Complex[np.ndarray, "h w"]:
    """cos^5 of the angle to an orientation, scaled so that the six powers sum to 1."""
    order = ORIENTATIONS - 1
    power = 2 ** (2 * order) * math.factorial(order) ** 2 / (ORIENTATIONS * math.factorial(2 * order))
    angles = np.pi * np.arange(-2 * _ANGULAR_STEPS - 1, _ANGULAR_STEPS + 2) / _ANGULAR_STEPS
    table = math.sqrt(power) * np.cos(angles) ** order
    return (-1j) ** order * np.interp(angle, angles + np.pi * orientation / ORIENTATIONS, table)


def _middle(length: int) -> slice:
    """The half of the frequencies around zero, which is at index length // 2."""
    half = (length + 1) // 2
    start = length // 2 - half // 2
    return slice(start, start + half)


def _inverse(spectrum: Complex[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    return np.fft.ifft2(np.fft.ifftshift(spectrum)).real
