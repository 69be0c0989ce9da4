"""The strip beside a drawn image that says what its colours, lines and numbers mean.

Draw what DREA made of one image: boxes that were kept and dropped, and the edges between them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from galr.graphs.denoise_report import DenoiseReport, RegionStatus

WIDTH, MARGIN, ROW = 360, 22, 27  # pixels: of the strip, around what it holds, of one of its lines
SAMPLE = 38  # pixels that a sample of a colour or a line takes
PAPER, INK, MUTED, RULE = "#faf9f5", "#1b2322", "#5c6765", "#dedcd2"  # as in the report
MOST_CLASSES = 20  # lines for classes; what is more is counted in one
EDGE = (1.0, 6.0)  # pixels: width of an edge of no weight, and of the heaviest
DASHES: dict[RegionStatus, tuple[int, ...]] = {  # pixels drawn, left out, drawn, …
    "kept": (),
    "redundant": (9, 5),
    "beyond": (10, 4, 3, 4),
    "weak": (3, 5),
}


@dataclass(frozen=True)
class Legend:
    """What the strip says.

    title, subtitle: of the image.
    classes: name, colour and number of kept detections each.
    fates: fate, what it means, and number of detections each.
    weights: of the edges that are drawn, ascending.
    """

    title: str
    subtitle: str
    classes: Sequence[tuple[str, str, int]]
    fates: Sequence[tuple[RegionStatus, str, int]]
    weights: Sequence[float]


def panel(legend: Legend, height: int) -> Image.Image:
    """Draw the strip, `WIDTH` wide and as high as the picture beside it, or as it needs.

    Args:
        legend: what it says.
        height: of the picture in pixels.
    """
    blocks: tuple[Sequence[tuple[str | float, str, str]], ...] = (
        _classes(legend.classes),
        [(fate, meaning, str(count)) for fate, meaning, count in legend.fates],
        _edges(legend.weights),
    )
    needed = (
        4 * MARGIN + 2 * ROW + sum((len(block) + 1) * ROW + MARGIN for block in blocks if block)
    )
    strip = Image.new("RGB", (WIDTH, max(height, needed)), PAPER)
    pen = ImageDraw.Draw(strip)
    y = MARGIN
    pen.text((MARGIN, y), fitting(legend.title, 20, WIDTH - 2 * MARGIN), INK, font(20))
    pen.text((MARGIN, y + 30), legend.subtitle, MUTED, font(13))
    y += 2 * ROW + MARGIN // 2
    for heading, block in zip(
        ("kept, by class", "regions", "edges, by weight"), blocks, strict=True
    ):
        if block:
            pen.line([(MARGIN, y), (WIDTH - MARGIN, y)], RULE)
            pen.text((MARGIN, y + 12), heading, MUTED, font(12))
            y += ROW + 10
            for sample, meaning, count in block:
                _row(pen, y, sample, meaning, count)
                y += ROW
            y += MARGIN // 2
    return strip


def dashes(length: int, pattern: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut a line of a length into what is drawn: first and last pixel of each dash.

    Args:
        length: pixels.
        pattern: pixels drawn, left out, drawn, … over and over; empty draws the whole line.
    """
    start, step = 0, 0
    while start < length:
        run = pattern[step % len(pattern)] if pattern else length
        if step % 2 == 0:
            yield start, min(start + run, length) - 1
        start, step = start + run, step + 1


def width_of(share: float) -> float:
    """Pixels that an edge is wide, by its share of the heaviest edge's weight."""
    return EDGE[0] + (EDGE[1] - EDGE[0]) * share


def opacity_of(share: float) -> float:
    """How opaque an edge is, in [0, 1], by its share of the heaviest edge's weight."""
    return 0.1 + 0.85 * share


def fitting(text: str, size: int, width: float) -> str:
    """Make one line of a text, and shorten it until it fits into some pixels."""
    text = " ".join(text.split())
    if font(size).getlength(text) <= width:
        return text
    while text and font(size).getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """A font that every machine has, with the letters of most alphabets; Pillow's own lacks even ä.

    Args:
        size: in pixels.
    """
    import matplotlib  # here, because only drawing needs it

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)


def _classes(classes: Sequence[tuple[str, str, int]]) -> list[tuple[str | float, str, str]]:
    """A line for each class, or for the first of many."""
    shown: list[tuple[str | float, str, str]] = [
        (colour, name, str(count)) for name, colour, count in classes[:MOST_CLASSES]
    ]
    rest = classes[MOST_CLASSES:]
    if rest:
        shown.append((PAPER, f"{len(rest)} more", str(sum(count for _, _, count in rest))))
    return shown


def _edges(weights: Sequence[float]) -> list[tuple[str | float, str, str]]:
    """A line for the heaviest edge, one of half its weight, and the lightest that is drawn."""
    if not weights:
        return []
    heaviest, lightest = weights[-1], weights[0]
    shown = dict.fromkeys((heaviest, max(heaviest / 2, lightest), lightest))
    return [(weight / heaviest, f"{weight:.2g}", "") for weight in shown]


def _row(pen: ImageDraw.ImageDraw, y: int, sample: str | float, meaning: str, count: str) -> None:
    """Draw a line of the strip: a sample, what it means, and a number."""
    left, middle, right = MARGIN, y + 8, MARGIN + SAMPLE - 12
    if isinstance(sample, float):
        paint = _faded(opacity_of(sample))
        pen.line([(left, middle), (right, middle)], paint, round(width_of(sample)))
    elif sample in DASHES:
        for start, stop in dashes(right - left, DASHES[sample]):
            pen.line(
                [(left + start, middle), (left + stop, middle)], INK, 3 if sample == "kept" else 2
            )
    elif sample != PAPER:
        pen.rounded_rectangle([left, y, left + 16, y + 16], 3, sample, "#55605e")
    space = WIDTH - 2 * MARGIN - SAMPLE - 44
    pen.text((MARGIN + SAMPLE, y), fitting(meaning, 13, space), INK, font(13))
    pen.text((WIDTH - MARGIN, y), count, INK, font(13), anchor="ra")


def _faded(opacity: float) -> tuple[int, ...]:
    """Ink of some opacity on the strip's paper."""
    pairs = zip(ImageColor.getrgb(PAPER), ImageColor.getrgb(INK), strict=True)
    return tuple(round(paper + (ink - paper) * opacity) for paper, ink in pairs)


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


def draw_graph(
    image: Image.Image,
    report: DenoiseReport,
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
    scale = enlargement(image.size)
    size = tuple(max(round(side * scale), 1) for side in image.size)
    canvas = image.resize((size[0], size[1]), Image.Resampling.LANCZOS).convert("RGB")
    colours = class_colours(report)
    boxes = report.boxes.astype(np.float64) * scale
    edges = strongest(report.adjacency)
    for dropped in ("weak", "beyond", "redundant"):
        canvas = _with_boxes(canvas, boxes, report, dropped, colours)
    canvas = _with_edges(canvas, boxes, report, edges, colours)
    canvas = _with_boxes(canvas, boxes, report, "kept", colours)
    _label(canvas, boxes, report, class_names, colours)
    legend = Legend(
        title,
        f"{image.width} x {image.height} pixels",
        [
            (class_names[number], colour, _kept_of(report, number))
            for number, colour in colours.items()
        ],
        [(fate, reason, report.count(fate)) for fate, reason in report.descriptions.items()],
        [weight for _, _, weight in edges],
    )
    return _side_by_side(canvas, panel(legend, canvas.height))


def enlargement(size: Sequence[int]) -> float:
    """How much larger to draw: small pictures by a whole factor, so that labels fit; huge ones smaller."""
    side = max(size)
    return MOST_SIDE / side if side > MOST_SIDE else max(round(LEAST_SIDE / side), 1)


def class_colours(found: DenoiseReport) -> dict[int, str]:
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


def _kept_of(found: DenoiseReport, number: int) -> int:
    """How many detections of a class were kept."""
    return int((found.classes[found.kept] == number).sum())


def _with_edges(
    canvas: Image.Image,
    boxes: np.ndarray,
    found: DenoiseReport,
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
    found: DenoiseReport,
    fate: RegionStatus,
    colours: Mapping[int, str],
) -> Image.Image:
    """Draw the boxes of one fate in their class's colour, with a dark line on both sides of theirs.

    Of dropped ones the more there are the fainter they are: kept ones must stay readable.
    """
    layer = Image.new("RGBA", canvas.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    rows = np.flatnonzero(found.status == fate)
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
    found: DenoiseReport,
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
