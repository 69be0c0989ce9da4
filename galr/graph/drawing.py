"""Draw what DREA made of one image: boxes that were kept and dropped, and the edges between them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from galr.graph.fates import Fate, Outcome
from galr.graph.legend import (
    DASHES,
    INK,
    PAPER,
    Legend,
    dashes,
    fitting,
    font,
    opacity_of,
    panel,
    width_of,
)

LEAST_SIDE, MOST_SIDE = 900, 1800  # pixels of the drawn picture's longer side, about
FINE = 2  # edges are drawn so much larger and shrunk, because Pillow's slanted lines have steps
HALO = 140  # of 255: how opaque the dark line is that makes a box show on light ground
CROWD = 60  # so many dropped boxes of one fate are drawn in full strength
LIGHT = 170  # of 255: on lighter pictures edges are dark
LONGEST = 150  # pixels of a class's name on a label
COLOURS = ("#ffd60a", "#27e1ff", "#ff6bb8", "#86ff4a", "#ff9a2e", "#c3a6ff", "#ff5a4f")
NO_COLOUR = "#ffffff"  # of the classes after these; more cannot be told apart on a photograph
FAINTEST = 0.03  # of the strongest edge; weaker ones would be a grey veil
Rectangle = tuple[int, int, int, int]


def draw(
    picture: Image.Image,
    found: Outcome,
    class_names: Sequence[str],
    title: str,
) -> Image.Image:
    """Draw an image's kept boxes solid, dropped ones broken, and edges the wider the heavier.

    Args:
        picture: RGB, what the boxes are in the pixels of.
        found: the detections and what became of them.
        class_names: of all classes.
        title: what to call the image.

    Returns:
        RGB; the picture, enlarged if it is small and shrunk if it is huge, and a legend on its right.
    """
    scale = enlargement(picture.size)
    size = tuple(max(round(side * scale), 1) for side in picture.size)
    canvas = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS).convert("RGB")
    colours = class_colours(found)
    boxes = found.boxes.astype(np.float64) * scale
    edges = strongest(found.adjacency)
    for dropped in ("weak", "beyond", "redundant"):
        canvas = _with_boxes(canvas, boxes, found, dropped, colours)
    canvas = _with_edges(canvas, boxes, found, edges, colours)
    canvas = _with_boxes(canvas, boxes, found, "kept", colours)
    _label(canvas, boxes, found, class_names, colours)
    legend = Legend(
        title,
        f"{picture.width} x {picture.height} pixels",
        [
            (class_names[number], colour, _kept_of(found, number))
            for number, colour in colours.items()
        ],
        [(fate, reason, found.count(fate)) for fate, reason in found.meanings.items()],
        [weight for _, _, weight in edges],
    )
    return _side_by_side(canvas, panel(legend, canvas.height))


def enlargement(size: Sequence[int]) -> float:
    """How much larger to draw: small pictures by a whole factor, so that labels fit; huge ones smaller."""
    side = max(size)
    return MOST_SIDE / side if side > MOST_SIDE else max(round(LEAST_SIDE / side), 1)


def class_colours(found: Outcome) -> dict[int, str]:
    """Give the classes of an image's detections their colours, those with the most kept ones first.

    Returns:
        Colour by class, as `#rrggbb`, in order.
    """
    present = np.unique(found.classes).tolist()
    ordered = sorted(present, key=lambda number: (-_kept_of(found, number), number))
    return {
        number: COLOURS[place] if place < len(COLOURS) else NO_COLOUR
        for place, number in enumerate(ordered)
    }


def strongest(adjacency: np.ndarray) -> list[tuple[int, int, float]]:
    """List the edges between two detections that are worth drawing, the weakest first.

    Args:
        adjacency: (k, k), symmetric.

    Returns:
        (row, column, weight), row < column, for weights of `FAINTEST` of the largest or more.
    """
    row, column = np.triu_indices(len(adjacency), 1)
    weight = adjacency[row, column]
    shown = np.flatnonzero((weight > 0) & (weight >= FAINTEST * weight.max(initial=0)))
    order = shown[np.argsort(weight[shown], kind="stable")]
    return [(int(row[i]), int(column[i]), float(weight[i])) for i in order]


def _kept_of(found: Outcome, number: int) -> int:
    """How many detections of a class were kept."""
    return int((found.classes[found.kept] == number).sum())


def _with_edges(
    canvas: Image.Image,
    boxes: np.ndarray,
    found: Outcome,
    edges: Sequence[tuple[int, int, float]],
    colours: Mapping[int, str],
) -> Image.Image:
    """Draw lines between the centres of kept boxes, the heavier the wider and the less transparent."""
    layer = Image.new("RGBA", (canvas.width * FINE, canvas.height * FINE), (0, 0, 0, 0))
    light = np.asarray(canvas.convert("L")).mean() > LIGHT
    line, halo = ((0, 0, 0), (255, 255, 255)) if light else ((255, 255, 255), (0, 0, 0))
    pen = ImageDraw.Draw(layer)
    centres = (boxes[found.kept, :2] + boxes[found.kept, 2:]) / 2 * FINE
    heaviest = max((weight for _, _, weight in edges), default=1.0)
    for one, other, weight in edges:
        share = weight / heaviest
        ends = [tuple(centres[one]), tuple(centres[other])]
        wide = width_of(share) * FINE
        alpha = round(255 * opacity_of(share))
        pen.line(ends, (*halo, alpha // 2), round(wide + 2 * FINE))
        pen.line(ends, (*line, alpha), round(wide))
    for row, (x, y) in enumerate(centres):
        colour = ImageColor.getrgb(colours[int(found.classes[found.kept[row]])])
        pen.circle((x, y), 5 * FINE, (0, 0, 0, 200))
        pen.circle((x, y), 3.5 * FINE, (*colour, 255))
    small = layer.resize(canvas.size, Image.Resampling.BOX)
    return Image.alpha_composite(canvas.convert("RGBA"), small).convert("RGB")


def _with_boxes(
    canvas: Image.Image,
    boxes: np.ndarray,
    found: Outcome,
    fate: Fate,
    colours: Mapping[int, str],
) -> Image.Image:
    """Draw the boxes of one fate in their class's colour, with a dark line on both sides of theirs.

    Of dropped ones the more there are the fainter they are: kept ones must stay readable.
    """
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    rows = np.flatnonzero(found.fates == fate)
    strength = 1 if fate == "kept" else min((CROWD / max(len(rows), 1)) ** 0.5, 1)
    outside = 1 if fate == "kept" else 0  # pixels of the line beyond the box; one more is inside
    for row in rows:
        colour = (*ImageColor.getrgb(colours[int(found.classes[row])]), round(255 * strength))
        box = _pixels(boxes[row], canvas.size)
        for more, paint in ((1, (0, 0, 0, round(HALO * strength))), (0, colour)):
            for run in _outline(box, DASHES[fate], outside + more, 1 + more):
                pen.rectangle(run, paint)
    return Image.alpha_composite(canvas.convert("RGBA"), layer).convert("RGB")


def _pixels(box: np.ndarray, size: tuple[int, int]) -> Rectangle:
    """Round a box to whole pixels inside a canvas."""
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    return (
        min(left, size[0] - 1),
        min(top, size[1] - 1),
        min(right, size[0] - 1),
        min(bottom, size[1] - 1),
    )


def _outline(
    box: Rectangle, pattern: Sequence[int], outside: int, inside: int
) -> Iterator[Rectangle]:
    """Cut a box's four sides into dashes, some pixels thick outside and inside of its edge.

    Every side begins with a dash, and a solid one goes round the corner.
    """
    left, top, right, bottom = box
    corner = 0 if pattern else outside
    for start, stop in dashes(right - left + 1, pattern):
        first, last = left + start - corner, left + stop + corner
        yield first, top - outside, last, top + inside
        yield first, bottom - inside, last, bottom + outside
    for start, stop in dashes(bottom - top + 1, pattern):
        first, last = top + start - corner, top + stop + corner
        yield left - outside, first, left + inside, last
        yield right - inside, first, right + outside, last


def _label(
    canvas: Image.Image,
    boxes: np.ndarray,
    found: Outcome,
    class_names: Sequence[str],
    colours: Mapping[int, str],
) -> None:
    """Write class and score beside each kept box, the best first, where no label lies yet.

    Where that is too long for any free place the score stands alone: the colour says the class.
    """
    pen = ImageDraw.Draw(canvas)
    taken: list[Rectangle] = []
    for row in found.kept:
        score = f"{found.scores[row]:.2f}"
        number = int(found.classes[row])
        texts = (f"{fitting(class_names[number], 12, LONGEST)} {score}", score)
        text, place = _free(texts, _pixels(boxes[row], canvas.size), canvas.size, taken)
        taken.append(place)
        pen.rounded_rectangle(place, 3, colours[number])
        pen.text((place[0] + 4, (place[1] + place[3]) / 2), text, INK, font(12), anchor="lm")


def _free(
    texts: Sequence[str], box: Rectangle, size: tuple[int, int], taken: Sequence[Rectangle]
) -> tuple[str, Rectangle]:
    """Find a text and a place for it at a box that overlap no other, or else what overlaps least.

    Returns:
        The text, and the pixels that its label takes.
    """
    left, top, right, bottom = box
    tried = []
    for text in texts:
        wide, high = round(font(12).getlength(text)) + 8, 17
        for x, y in (
            (left - 1, top - high - 3),
            (left - 1, bottom + 3),
            (right + 1 - wide, top - high - 3),
            (right + 1 - wide, bottom + 3),
            (right + 4, top),
            (left - wide - 4, top),
            (right + 4, bottom - high),
            (left - wide - 4, bottom - high),
        ):
            x, y = min(max(x, 0), size[0] - wide), min(max(y, 0), size[1] - high)
            place = (x, y, x + wide - 1, y + high - 1)
            hidden = sum(_common(place, other) for other in taken)
            if not hidden:
                return text, place
            tried.append((hidden, text, place))
    _, text, place = min(tried, key=lambda each: each[0])
    return text, place


def _common(one: Rectangle, other: Rectangle) -> int:
    """Pixels that two rectangles have in common."""
    across = min(one[2], other[2]) - max(one[0], other[0]) + 1
    down = min(one[3], other[3]) - max(one[1], other[1]) + 1
    return max(across, 0) * max(down, 0)


def _side_by_side(canvas: Image.Image, strip: Image.Image) -> Image.Image:
    """Put the legend on the right of the picture."""
    page = Image.new("RGB", (canvas.width + strip.width, max(canvas.height, strip.height)), PAPER)
    page.paste(canvas, (0, 0))
    page.paste(strip, (canvas.width, 0))
    return page
