"""Keeps account of images without a value of a metric: with a reason beforehand, or without one."""

import dataclasses
import math
from collections.abc import Hashable, Mapping


@dataclasses.dataclass
class Missing:
    """What `add` was told.

    Attributes:
      reasons: metric -> image -> why it has no value, see `host.why_not_computed`.
      no_value: metric -> method -> number of its images whose value is NaN without such a reason, as NIQE of
        flat images.
    """

    reasons: dict[str, dict[Hashable, str]] = dataclasses.field(default_factory=dict)
    no_value: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def add(
        self, image: Hashable, method: str, values: Mapping[str, float], reasons: Mapping[str, str]
    ) -> None:
        """Note what an image of a method lacks."""
        for metric, reason in reasons.items():
            self.reasons.setdefault(metric, {})[image] = reason
        for metric, value in values.items():
            if math.isnan(value) and metric not in reasons:
                methods = self.no_value.setdefault(metric, {})
                methods[method] = methods.get(method, 0) + 1

    def not_computed(self, total: int) -> dict[str, str]:
        """Return the first reason of every metric that has one, and how many of `total` images if not all."""
        return {
            metric: next(iter(found.values()))
            + (f" ({len(found)} of {total} images)" if len(found) < total else "")
            for metric, found in self.reasons.items()
        }
