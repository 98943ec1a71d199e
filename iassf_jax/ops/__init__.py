"""Pure functions on images: NHWC, floating point, safe under jit, vmap and grad.

Images hold values in [0, 1] unless a function says otherwise. Results have the dtype of their input; where
rounding would hurt, the arithmetic inside is float32.
"""

from iassf_jax.ops.color import channel_mean, rgb_to_gray, rgb_to_ycbcr, ycbcr_to_rgb
from iassf_jax.ops.convolution import conv
from iassf_jax.ops.dark_channel import airlight, dark_channel, refine_transmission, transmission
from iassf_jax.ops.depthwise import depthwise_conv
from iassf_jax.ops.filters import box_mean, max_filter, min_filter
from iassf_jax.ops.gradients import sobel, sobel_magnitude_l1
from iassf_jax.ops.guided_filter import guided_filter
from iassf_jax.ops.padding import crop, pad_to_multiple, reflect_pad, spatial_size
from iassf_jax.ops.pixel_shuffle import pixel_shuffle, pixel_unshuffle
from iassf_jax.ops.pyramid import blur, collapse, laplacian_pyramid
from iassf_jax.ops.resize import downscale_area, resize_bilinear
from iassf_jax.ops.rounding import smooth_rounding
from iassf_jax.ops.scattering import scatter, transmission_from_depth, unscatter
from iassf_jax.ops.windows import window_merge, window_partition

__all__ = [
    "airlight",
    "blur",
    "box_mean",
    "channel_mean",
    "collapse",
    "conv",
    "crop",
    "dark_channel",
    "depthwise_conv",
    "downscale_area",
    "guided_filter",
    "laplacian_pyramid",
    "max_filter",
    "min_filter",
    "pad_to_multiple",
    "pixel_shuffle",
    "pixel_unshuffle",
    "refine_transmission",
    "reflect_pad",
    "resize_bilinear",
    "rgb_to_gray",
    "rgb_to_ycbcr",
    "scatter",
    "smooth_rounding",
    "sobel",
    "sobel_magnitude_l1",
    "spatial_size",
    "transmission",
    "transmission_from_depth",
    "unscatter",
    "window_merge",
    "window_partition",
    "ycbcr_to_rgb",
]
