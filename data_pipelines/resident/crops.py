"""Cuts batches out of resident scenes, inside jitted functions."""

from collections.abc import Mapping

import jax
from jaxtyping import Array, Int32, Num


def crop_scenes(
    scenes: Mapping[str, Num[Array, "..."]],
    scene: Int32[Array, " b"],
    top: Int32[Array, " b"],
    left: Int32[Array, " b"],
    *,
    crop: int,
) -> dict[str, Num[Array, "b h w c"]]:
    """Return squares of `crop` pixels, the same one of every image of a scene.

    Args:
      scenes: from `storage.stack_scenes`, [n h w c] each.
      scene, top, left: which scene, and the corner of the square in it; as the loader gives them, they lie
        inside (others are moved inside, as `jax.lax.dynamic_slice` does).
      crop: side of the squares; 0 takes whole scenes.
    """
    if crop == 0:
        return {name: images[scene] for name, images in scenes.items()}

    def cut(images: Array) -> Array:
        size = (1, crop, crop, images.shape[3])

        def one(scene: Array, top: Array, left: Array) -> Array:
            return jax.lax.dynamic_slice(images, (scene, top, left, scene * 0), size)[0]

        return jax.vmap(one)(scene, top, left)

    return {name: cut(images) for name, images in scenes.items()}
