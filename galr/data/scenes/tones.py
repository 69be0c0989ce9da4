"""What all landscapes draw by lot: their directions and the tones of their ground."""

import numpy as np

from galr.data.scenes.shapes import SIDE, Frame


def tone(
    random: np.random.Generator, colour: tuple[float, float, float], spread: float
) -> tuple[float, float, float]:
    """A colour near another: lighter or darker by about a spread, and a little off in hue."""
    red, green, blue = np.array(colour) + random.normal(0, spread) + random.normal(0, spread / 3, 3)
    return float(red), float(green), float(blue)


def any_frame(random: np.random.Generator) -> Frame:
    """A frame in the middle of the world, in any direction."""
    return Frame(SIDE / 2, SIDE / 2, random.uniform(0, 2 * np.pi))


def straight_frame(random: np.random.Generator) -> Frame:
    """A frame in the middle of the world, within 10 degrees of the picture's sides.

    Upright boxes of long things stand close in such a frame, so long rows find room.
    """
    quarter = random.integers(4) * np.pi / 2
    return Frame(SIDE / 2, SIDE / 2, quarter + np.radians(random.uniform(-10, 10)))
