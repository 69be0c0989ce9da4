"""What a group is made of: one make of a thing, in one colour or in two."""

import numpy as np

from galr.data.scenes.brush import COLOURS
from galr.data.scenes.outline import STYLES
from galr.data.scenes.scene import Thing

MOST = 8  # things of a kind in a scene
SIZES = {  # length from, length to (units), width from, width to (as parts of the length)
    "plane": (28, 46, 0.86, 1.08),
    "ship": (28, 52, 0.29, 0.36),
    "court": (34, 46, 0.52, 0.56),
    "tank": (15, 30, 1.0, 1.0),
    "vehicle": (17, 23, 0.47, 0.52),
    "building": (27, 46, 0.58, 0.8),
}
_FAINT = {  # colours that drown in what they would stand on
    "water": {"blue", "grey", "green", "black"},
    "grass": {"green"},
    "field": {"green", "brown"},
    "bank": {"green"},
    "island": {"green"},
    "infield": {"green"},
    "sand": {"brown", "orange"},
    "beach": {"brown", "orange", "white"},
    "asphalt": {"black", "grey"},
    "road": {"black", "grey"},
    "runway": {"black", "grey"},
    "apron": {"grey"},
    "quay": {"grey"},
    "yard": {"grey", "brown"},
    "track": {"brown", "orange"},
}


def models(
    random: np.random.Generator, kind: str, count: int, place: str, shrink: float = 1.0
) -> list[Thing]:
    """Make things of a kind that await their poses.

    Args:
        random: what size, colours and style are drawn from.
        kind: one of `KINDS`.
        count: from 1 to `MOST`; many are smaller than few.
        place: where they will stand; their colours differ from it.
        shrink: makes them all smaller where room is scarce.
    """
    low, high, slim, stout = SIZES[kind]
    crowd = (count - 1) / (MOST - 1)
    length = shrink * random.uniform(low, high - 0.5 * (high - low) * crowd)
    width = length * random.uniform(slim, stout)
    picked = random.permutation([name for name in COLOURS[kind] if name not in _FAINT[place]])[:2]
    second = int(random.integers(1, count)) if count > 1 and random.random() < 0.35 else 0
    style = int(random.integers(len(STYLES[kind])))
    return [
        Thing(kind, 0, 0, 0, length, width, str(picked[int(index < second)]), style)
        for index in random.permutation(count)
    ]
