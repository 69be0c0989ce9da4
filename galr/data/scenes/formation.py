"""How a number of things can stand: poses (things, 3) of x, y and heading, units and radians.

Formations are built about the origin and moved to their place later; the upright boxes of their
things never touch, whatever the directions.
"""

import numpy as np

from galr.data.scenes.scene import Line

GAP = 4.0  # units that the upright boxes of two things keep from one another


def span(length: float, width: float, angle: float) -> tuple[float, float]:
    """Sides in x and in y of the upright box around a rectangle turned by an angle."""
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    return float(length * cos + width * sin), float(length * sin + width * cos)


def pitch(length: float, width: float, heading: float, direction: float) -> float:
    """The least distance in a direction at which two equal things' upright boxes keep the gap."""
    across, down = span(length, width, heading)
    cos, sin = abs(np.cos(direction)), abs(np.sin(direction))
    return float(min((across + GAP) / max(cos, 1e-9), (down + GAP) / max(sin, 1e-9)))


def row(
    count: int, length: float, width: float, heading: float, direction: float, slack: float = 1.1
) -> np.ndarray:
    """Things one after another in a direction, `slack` times as far apart as they must be."""
    step = slack * pitch(length, width, heading, direction)
    along = step * (np.arange(count) - (count - 1) / 2)
    return np.column_stack(
        [along * np.cos(direction), along * np.sin(direction), np.full(count, heading)]
    )


def two_rows(
    count: int, length: float, width: float, heading: float, direction: float, slack: float = 1.1
) -> np.ndarray:
    """An even number of things in two rows side by side."""
    half = row(count // 2, length, width, heading, direction, slack)
    across = direction + np.pi / 2
    apart = 1.15 * pitch(length, width, heading, across) / 2
    aside = np.array([np.cos(across), np.sin(across), 0.0]) * apart
    return np.concatenate([half - aside, half + aside])


def ring(
    count: int, length: float, width: float, turn: float, first: float, around: float = 0.0
) -> np.ndarray:
    """Things at equal angles on a circle.

    Args:
        count: at least 3.
        length: of a thing.
        width: of a thing.
        turn: heading of a thing against its direction from the middle; 0 looks outwards.
        first: direction of the first thing.
        around: the radius that is kept free in the middle; 0 is none.
    """
    angles = first + np.arange(count) * 2 * np.pi / count
    spans = np.array([span(length, width, angle + turn) for angle in angles])
    unit = np.column_stack([np.cos(angles), np.sin(angles)])
    needed = (spans + np.roll(spans, 1, 0)) / 2 + GAP
    apart = np.abs(unit - np.roll(unit, 1, 0))  # of neighbours, on a circle of radius 1
    reach = float(np.hypot(length, width)) / 2
    clear = float((needed / np.maximum(apart, 1e-9)).min(1).max())
    radius = max(clear, around + reach + GAP if around else 1.2 * reach)
    return np.column_stack([unit * radius, angles + turn])


def together(
    random: np.random.Generator, count: int, length: float, width: float, heading: float
) -> np.ndarray:
    """Things packed like bricks in a wall, as near to one another as the gap allows."""
    cell = np.array(span(length, width, heading)) + GAP
    steps = np.array([(x + 0.5 * (y % 2), y) for y in range(-3, 4) for x in range(-3, 4)])
    if random.random() < 0.5:
        steps = steps[:, ::-1]
    centres = steps * cell * 1.02
    middle = random.uniform(-0.5, 0.5, 2) * cell
    nearest = np.argsort(np.hypot(*(centres - middle).T), kind="stable")[:count]
    return np.column_stack([centres[nearest], np.full(count, heading)])


def along(
    random: np.random.Generator, line: Line, count: int, length: float, width: float
) -> np.ndarray | None:
    """Things beside a line, on one side of it or on both, all along it or all across it.

    Returns:
        Poses in the world, or None when the line is too short for so many.
    """
    way = line.end - line.start
    reach, direction = float(np.hypot(*way)), float(np.arctan2(way[1], way[0]))
    lengthwise = random.random() < 0.6
    heading = direction if lengthwise else direction + np.pi / 2
    step = pitch(length, width, heading, direction) * random.uniform(1.02, 1.3)
    sides = random.permutation([-1, 1])[: random.integers(1, 3)]
    columns = -(-count // len(sides))
    if (columns - 1) * step > reach - step:
        return None
    start = random.uniform(0.5 * step, reach - (columns - 0.5) * step)
    aside = (line.width + (width if lengthwise else length)) / 2 + GAP
    spots = [
        (start + step * (i // len(sides)), aside * sides[i % len(sides)]) for i in range(count)
    ]
    ahead = way / reach
    normal = np.array([-ahead[1], ahead[0]])
    centres = np.array([line.start + x * ahead + y * normal for x, y in spots])
    return np.column_stack([centres, np.full(count, heading)])
