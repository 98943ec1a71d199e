"""What a pixel shows."""

from enum import IntEnum


class Label(IntEnum):
    """Kinds of surface, as stored in a scene's label image."""

    SKY = 0
    ROAD = 1
    PAVEMENT = 2
    BUILDING = 3
    FOLIAGE = 4
    VEHICLE = 5
    PERSON = 6
    FURNITURE = 7  # lamp posts, poles, railings, signs, cones, tree trunks
