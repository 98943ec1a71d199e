"""One recipe on a batch: numbers are drawn, the law is evaluated, a camera may take the picture."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from data_pipelines.haze.distance import Metres, preset_distance
from data_pipelines.haze.draws import purpose_keys, uniforms
from data_pipelines.haze.frames import Frame
from data_pipelines.haze.noise import smooth_noise
from data_pipelines.haze.presets import Photograph, Preset
from data_pipelines.haze.released import squeeze
from iassf_jax.ops import airlight as estimate_airlight
from iassf_jax.ops import dark_channel, rgb_to_gray, scatter, transmission_from_depth

_DAYLIGHT = 0.4  # mean luma from which an image counts as taken in full daylight


class Scattered(NamedTuple):
    """A hazy image before rounding and the numbers behind it."""

    hazy: Float[Array, "b h w 3"]
    beta: Float[Array, " b"]
    modulation: Float[Array, " b"]
    airlight: Float[Array, "b 3"]
    mean_transmission: Float[Array, " b"]


def apply_preset(
    keys: Key[Array, " b"],
    clear: Float[Array, "b h w 3"],
    metres: Metres | None,
    frame: Frame,
    preset: Preset,
) -> Scattered:
    """Return `clear` through the haze of `preset`; example i is a function of keys[i] and of its images."""
    numbers = uniforms(keys, ("beta", "modulation", "airlight"))
    beta, modulation = preset.beta(numbers["beta"]), preset.modulation(numbers["modulation"])
    distance = preset_distance(preset, metres, frame, modulation)
    if preset.relative_beta:
        beta = beta / jnp.exp(jnp.mean(jnp.log(distance), axis=(1, 2, 3)))
    airlight = _airlight(preset, numbers["airlight"], clear)
    if preset.photograph is not None:
        hazy, transmission, airlight = _photograph(
            keys, clear, distance, beta, airlight, frame, preset.photograph
        )
    else:
        transmission = transmission_from_depth(distance, beta[:, None, None, None])
        hazy = scatter(clear, transmission, airlight)
    hazy = squeeze(hazy) if preset.squeezed else hazy
    mean = jnp.mean(transmission, axis=(1, 2, 3))
    return Scattered(hazy, beta, modulation, airlight[:, 0, 0, :], mean)


def airlight_level(share: Float[Array, " b"], clear: Float[Array, "b h w 3"]) -> Float[Array, " b"]:
    """Return the airlight of a picture: 0.62 to 1 by day, down to 0.2 to 0.55 in the dark.

    Haze scatters the light there is: a street at night cannot lie in white haze.

    Args:
      share: where in the range, in [0,1].
      clear: the picture; its mean luma says how light it is.
    """
    light = jnp.clip(jnp.mean(rgb_to_gray(clear), axis=(1, 2, 3)) / _DAYLIGHT, 0.0, 1.0)
    return 0.2 + 0.42 * light + share * (0.35 + 0.03 * light)


def _airlight(
    preset: Preset, uniform: Float[Array, " b"], clear: Float[Array, "b h w 3"]
) -> Float[Array, "b 1 1 3"]:
    if preset.airlight is None:
        return estimate_airlight(clear, dark_channel(clear))
    level = preset.airlight(uniform)
    if preset.follows_light:
        level = airlight_level(level, clear)
    return jnp.tile(level[:, None, None, None], (1, 1, 1, 3))


def _photograph(
    keys: Key[Array, " b"],
    clear: Float[Array, "b h w 3"],
    distance: Float[Array, "b h w 1"],
    beta: Float[Array, " b"],
    airlight: Float[Array, "b 1 1 3"],
    frame: Frame,
    look: Photograph,
) -> tuple[Float[Array, "b h w 3"], Float[Array, "b h w 1"], Float[Array, "b 1 1 3"]]:
    """Return hazy image, transmission of green light, and airlight in display values."""
    names = tuple(field.name for field in dataclasses.fields(look))
    drawn = {
        name: getattr(look, name)(number)[:, None, None, None]
        for name, number in uniforms(keys, names).items()
    }
    tint = jnp.concatenate([drawn["tint"], drawn["green"], -drawn["tint"]], axis=3)
    airlight = jnp.clip(airlight + tint, 0.0, 1.0)
    patches = smooth_noise(purpose_keys(keys, "patches"), *frame.shares())
    optical = beta[:, None, None, None] * distance * jnp.exp(drawn["patchiness"] * patches)
    green = jnp.exp(-optical)
    bands = drawn["spread"] * jnp.asarray([-1.0, 0.0, 1.0])[None, None, None, :]
    light = scatter(
        clear ** drawn["exponent"], jnp.exp(-optical * (1.0 + bands)), airlight ** drawn["exponent"]
    )
    seen = jnp.clip(light, 0.0, 1.0) ** (1.0 / drawn["exponent"])
    deviation = jnp.sqrt(drawn["shot_noise"] * seen + drawn["read_noise"] ** 2)
    normal = jax.vmap(lambda key: jax.random.normal(key, clear.shape[1:], jnp.float32))
    return seen + deviation * normal(purpose_keys(keys, "noise")), green, airlight
