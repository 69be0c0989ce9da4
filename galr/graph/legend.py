"""The strip beside a drawn image that says what its colours, lines and numbers mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw, ImageFont

from galr.graph.fates import Fate

WIDTH, MARGIN, ROW = 360, 22, 27  # pixels: of the strip, around what it holds, of one of its lines
SAMPLE = 38  # pixels that a sample of a colour or a line takes
PAPER, INK, MUTED, RULE = "#faf9f5", "#1b2322", "#5c6765", "#dedcd2"  # as in the report
MOST_CLASSES = 20  # lines for classes; what is more is counted in one
EDGE = (1.0, 6.0)  # pixels: width of an edge of no weight, and of the heaviest
DASHES: dict[Fate, tuple[int, ...]] = {  # pixels drawn, left out, drawn, …
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
    fates: Sequence[tuple[Fate, str, int]]
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
