"""Degradations of brightness: low contrast, over-exposure, low light.

Each takes `numbers`, uniform in [0,1) for its `*_NUMBERS`; 1/2 everywhere is the middle of every range.
Display values v stand for light v^2.2.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from data_pipelines.haze.draws import LogUniform, Uniform, purpose_keys
from iassf_jax.ops import resize_bilinear, spatial_size

Image = Float[Array, "b h w c"]
Numbers = Mapping[str, Float[Array, " b"]]

_GAMMA = 2.2
_GRID = 4  # contrast that varies: values along each side

CONTRAST_NUMBERS = ("contrast", "level", "varies", "sensor noise")
EXPOSURE_NUMBERS = ("stops over",)
DARKNESS_NUMBERS = ("stops under", "shot noise", "read noise", "tone")

_CONTRAST = Uniform(0.25, 0.6)  # of the original
_LEVEL = Uniform(-0.05, 0.05)  # brightness added
_VARIES = 0.3  # share of the images whose contrast varies over the image
_SENSOR_NOISE = Uniform(0.0, 0.01)
_STOPS_OVER = Uniform(0.8, 2.2)
_STOPS_UNDER = Uniform(2.0, 5.0)
_SHOT_NOISE = LogUniform(1e-4, 4e-3)  # variance per unit of light
_READ_NOISE = LogUniform(5e-4, 5e-3)  # deviation, in light
_TONE = Uniform(1.0, 1.5)  # exponent


def low_contrast(keys: Key[Array, " b"], clean: Image, numbers: Numbers) -> Image:
    """Shrink the distances to the image's mean, evenly or by a factor that varies smoothly; add noise.

    What makes it hard to undo is that the result is rounded to 8 bits.
    """
    even = _CONTRAST(numbers["contrast"])[:, None, None, None]
    shape, limits = (_GRID, _GRID, 1), (_CONTRAST.low, _CONTRAST.high)
    draw = jax.vmap(lambda key: jax.random.uniform(key, shape, jnp.float32, *limits))
    grid = draw(purpose_keys(keys, "contrast grid"))
    smooth = resize_bilinear(grid, spatial_size(clean), align_corners=True)
    factor = jnp.where((numbers["varies"] < _VARIES)[:, None, None, None], smooth, even)
    mean = clean.mean(axis=(1, 2, 3), keepdims=True)
    shrunk = mean + factor * (clean - mean) + _LEVEL(numbers["level"])[:, None, None, None]
    deviation = _SENSOR_NOISE(numbers["sensor noise"])[:, None, None, None]
    return shrunk + deviation * _noise(keys, "sensor noise", clean)


def over_exposure(keys: Key[Array, " b"], clean: Image, numbers: Numbers) -> Image:
    """Multiply the light by up to 2^2.2; what is brighter than white is lost."""
    gain = 2.0 ** _STOPS_OVER(numbers["stops over"])[:, None, None, None]
    return _encode(jnp.minimum(_light(clean) * gain, 1.0))


def low_light(keys: Key[Array, " b"], clean: Image, numbers: Numbers) -> Image:
    """Leave 1/4 to 1/32 of the light, with the noise that so little light has, and a darker tone curve."""
    light = _light(clean) * 2.0 ** -_STOPS_UNDER(numbers["stops under"])[:, None, None, None]
    shot, read = (
        law(numbers[name])[:, None, None, None]
        for name, law in (("shot noise", _SHOT_NOISE), ("read noise", _READ_NOISE))
    )
    noisy = light + jnp.sqrt(shot * light + read**2) * _noise(keys, "light noise", clean)
    return _encode(jnp.clip(noisy, 0.0, 1.0)) ** _TONE(numbers["tone"])[:, None, None, None]


def _noise(keys: Key[Array, " b"], purpose: str, like: Image) -> Image:
    draw = jax.vmap(lambda key: jax.random.normal(key, like.shape[1:], jnp.float32))
    return draw(purpose_keys(keys, purpose))


def _light(values: Image) -> Image:
    return jnp.maximum(values, 0.0) ** _GAMMA


def _encode(light: Image) -> Image:
    # The root is infinitely steep at 0; nothing that is visible lies below this light.
    return jnp.maximum(light, 1e-8) ** (1.0 / _GAMMA)
