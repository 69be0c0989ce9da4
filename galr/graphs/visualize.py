"""A drawing of one image's graph: regions kept and dropped, edges by weight, and a legend."""

import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from PIL import Image

from galr.graphs.denoise_report import DenoiseReport, RegionStatus
from galr.palette import COLOURS, INK, OTHER_COLOUR, PAPER

DPI = 72  # one point is one pixel
MIN_SIDE, MAX_SIDE = 900, 1800  # pixels of the drawn image's longer side, about
LEGEND_WIDTH, MARGIN = 360, 20  # pixels
LIGHT = 170  # of 255; on images brighter than this edges are dark
MAX_CLASSES, MAX_LABEL, MAX_LINE = 20, 20, 38  # lines for classes; characters of a label and a line
MIN_EDGE = 0.03  # relative to the heaviest edge; lighter ones would be a grey veil
MANY = 60  # dropped regions of one status; more are drawn fainter
NO_LINE = Line2D([], [], linestyle="none")
LINE_STYLES: dict[RegionStatus, Any] = {  # lengths in widths of the line
    "kept": "solid",
    "redundant": (0, (4.5, 2.5)),
    "over_limit": (0, (5, 2, 1.5, 2)),
    "low_score": (0, (1.5, 2.5)),
}


def draw_graph(
    image: Image.Image, report: DenoiseReport, class_names: Sequence[str], title: str
) -> Image.Image:
    """Draw kept boxes solid, dropped ones dashed, and edges wider the heavier they are.

    Args:
        image: RGB; boxes are in its pixels.
        report: the image's detections and what DREA did with them.
        class_names: of all classes.
        title: what to call the image.

    Returns:
        RGB; the image, enlarged if it is small and reduced if it is huge, and a legend to its right.
    """
    scale = enlargement(image.size)
    width, height = (max(round(side * scale), 1) for side in image.size)
    colours = class_colours(report)
    edges = strongest_edges(report.adjacency)
    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # drawn as an empty box
        figure = Figure(((width + LEGEND_WIDTH) / DPI, height / DPI), DPI, facecolor=PAPER)
        canvas = FigureCanvasAgg(figure)
        subtitle = f"{image.width} x {image.height} pixels"
        needed = _draw_legend(
            figure,
            report,
            class_names,
            colours,
            edges,
            f"{_shorten(title, MAX_LINE)}\n{subtitle}\n",
        )
        page_height = max(height, needed)
        figure.set_size_inches((width + LEGEND_WIDTH) / DPI, page_height / DPI)
        axes = figure.add_axes(
            (0, 1 - height / page_height, width / (width + LEGEND_WIDTH), height / page_height),
            xlim=(0, image.width),
            ylim=(image.height, 0),
        )
        axes.set_axis_off()
        axes.imshow(
            image.resize((width, height), Image.Resampling.LANCZOS),
            extent=(0, image.width, image.height, 0),
            interpolation="nearest",
            aspect="auto",
        )
        for status in ("low_score", "over_limit", "redundant"):
            _draw_boxes(axes, report, status, colours)
        is_light = np.asarray(image.convert("L")).mean() > LIGHT
        _draw_edges(axes, report, edges, colours, is_light=bool(is_light))
        _draw_boxes(axes, report, "kept", colours)
        _draw_labels(axes, report, class_names, colours)
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def enlargement(size: Sequence[int]) -> float:
    """Choose the scale of the drawing: a whole factor for small images, below 1 for huge ones."""
    side = max(size)
    return MAX_SIDE / side if side > MAX_SIDE else max(round(MIN_SIDE / side), 1)


def class_colours(report: DenoiseReport) -> dict[int, str]:
    """Assign colours to the classes of an image, those with the most kept regions first.

    Returns:
        Colour by class, as `#rrggbb`, in this order.
    """
    present = np.unique(report.classes).tolist()
    ordered = sorted(present, key=lambda number: (-_num_kept(report, number), number))
    return {
        number: COLOURS[rank] if rank < len(COLOURS) else OTHER_COLOUR
        for rank, number in enumerate(ordered)
    }


def strongest_edges(adjacency: np.ndarray) -> list[tuple[int, int, float]]:
    """List the edges between two regions that are worth drawing, the lightest first.

    Args:
        adjacency: (k, k) float, symmetric.

    Returns:
        (row, column, weight), row < column, of edges of at least `MIN_EDGE` of the heaviest.
    """
    row, column = np.triu_indices(len(adjacency), 1)
    weight = adjacency[row, column]
    shown = np.flatnonzero((weight > 0) & (weight >= MIN_EDGE * weight.max(initial=0)))
    order = shown[np.argsort(weight[shown], kind="stable")]
    return [(int(row[i]), int(column[i]), float(weight[i])) for i in order]


def _num_kept(report: DenoiseReport, number: int) -> int:
    """Count the kept regions of a class."""
    return int((report.classes[report.kept] == number).sum())


def _edge_style(fraction: float) -> tuple[float, float]:
    """Return width in pixels and opacity of an edge, by its weight relative to the heaviest."""
    return 1 + 5 * fraction, 0.1 + 0.85 * fraction


def _draw_boxes(
    axes: Axes, report: DenoiseReport, status: RegionStatus, colours: dict[int, str]
) -> None:
    """Draw the boxes of one status in the colours of their classes, with a dark outline.

    Many dropped boxes are drawn faint, so that kept ones stay readable.
    """
    rows = np.flatnonzero(report.status == status)
    alpha = 1.0 if status == "kept" else min((MANY / max(len(rows), 1)) ** 0.5, 1.0)
    line_width = 3 if status == "kept" else 2
    for row in rows:
        left, top, right, bottom = report.boxes[row].tolist()
        axes.add_patch(
            Rectangle(
                (left, top),
                right - left,
                bottom - top,
                fill=False,
                antialiased=False,
                edgecolor=colours[int(report.classes[row])],
                linewidth=line_width,
                linestyle=LINE_STYLES[status],
                alpha=alpha,
                zorder=3 if status == "kept" else 1,
                path_effects=[withStroke(linewidth=line_width + 2, foreground="#00000090")],
            )
        )


def _draw_edges(
    axes: Axes,
    report: DenoiseReport,
    edges: Sequence[tuple[int, int, float]],
    colours: dict[int, str],
    *,
    is_light: bool,
) -> None:
    """Draw lines between the centres of kept boxes, wider and more opaque the heavier, and the centres."""
    line, halo = ("black", "white") if is_light else ("white", "black")
    centres = (report.boxes[report.kept, :2] + report.boxes[report.kept, 2:]) / 2
    for row, column, weight in edges:
        line_width, alpha = _edge_style(weight / edges[-1][2])
        axes.add_collection(
            LineCollection(
                [centres[[row, column]]],
                linewidths=line_width,
                colors=line,
                alpha=alpha,
                path_effects=[
                    withStroke(linewidth=line_width + 2, foreground=halo, alpha=alpha / 2)
                ],
            )
        )
    node_colours = [colours[int(number)] for number in report.classes[report.kept]]
    axes.scatter(centres[:, 0], centres[:, 1], s=50, c=node_colours, edgecolors="black", zorder=2.5)


def _draw_labels(
    axes: Axes, report: DenoiseReport, class_names: Sequence[str], colours: dict[int, str]
) -> None:
    """Write class and score beside each kept box, the best first, where no label is yet.

    Where every position of both overlaps a label, the one that overlaps the fewest is taken.
    """
    placed: list[Bbox] = []
    inside = axes.get_window_extent()
    for row in report.kept:
        number, score = int(report.classes[row]), f"{report.scores[row]:.2f}"
        left, top, right, bottom = report.boxes[row].tolist()
        label = axes.annotate(
            "",
            (left, top),
            (0, 0),
            textcoords="offset points",
            color=INK,
            fontsize=12,
            clip_on=True,
            bbox={"boxstyle": "round,pad=0.2", "facecolor": colours[number], "edgecolor": "none"},
            zorder=4,
        )

        positions = [
            (text, x, y, alignment)
            for text in (f"{_shorten(class_names[number], MAX_LABEL)} {score}", score)
            for x, y, alignment in (
                (left, top, "bottom left"),
                (left, bottom, "top left"),
                (right, top, "bottom right"),
                (right, bottom, "top right"),
                (left, top, "top left"),
                (right, bottom, "bottom right"),
            )
        ]
        overlaps = []
        for position in positions:
            extent = _place(label, *position)
            is_cut = extent.x0 < inside.x0 or extent.x1 > inside.x1 or extent.y1 > inside.y1
            overlaps.append(extent.count_overlaps(placed) + is_cut)
        placed.append(_place(label, *positions[int(np.argmin(overlaps))]))


def _place(label: Annotation, text: str, x: float, y: float, alignment: str) -> Bbox:
    """Put a text a few pixels from a corner of a box, and return the pixels that it takes."""
    vertical, horizontal = alignment.split()
    label.xy = (x, y)
    label.set_position(({"left": 2, "right": -2}[horizontal], {"bottom": 5, "top": -5}[vertical]))
    label.set(text=text, ha=horizontal, va=vertical)
    return label.get_window_extent().padded(4)


def _draw_legend(
    figure: Figure,
    report: DenoiseReport,
    class_names: Sequence[str],
    colours: dict[int, str],
    edges: Sequence[tuple[int, int, float]],
    title: str,
) -> int:
    """Write to the right of the image what colours and lines mean, with counts.

    Returns:
        The height that the legend needs, in pixels.
    """
    rows: list[tuple[Artist, str]] = [(NO_LINE, "kept, by class")]
    for number, colour in list(colours.items())[:MAX_CLASSES]:
        name = f"{class_names[number]}: {_num_kept(report, number)}"
        rows.append((Patch(facecolor=colour, edgecolor=INK), name))
    if others := list(colours)[MAX_CLASSES:]:
        count = sum(_num_kept(report, number) for number in others)
        rows.append((NO_LINE, f"{len(others)} more classes: {count}"))
    rows.append((NO_LINE, "\nregions"))
    for status, description in report.descriptions.items():
        line = Line2D([], [], color=INK, linestyle=LINE_STYLES[status], linewidth=2)
        rows.append((line, f"{description}: {report.count(status)}"))
    if edges:
        heaviest, lightest = edges[-1][2], edges[0][2]
        rows.append((NO_LINE, "\nedges, by weight"))
        for weight in dict.fromkeys((heaviest, max(heaviest / 2, lightest), lightest)):
            line_width, alpha = _edge_style(weight / heaviest)
            line = Line2D([], [], color=INK, linewidth=line_width, alpha=alpha)
            rows.append((line, f"{weight:.2g}"))
    legend = figure.legend(
        [handle for handle, _ in rows],
        [text if text.startswith("\n") else _shorten(text, MAX_LINE) for _, text in rows],
        title=title,
        title_fontproperties={"size": 15},
        alignment="left",
        loc="upper left",
        bbox_to_anchor=(1 - LEGEND_WIDTH / (figure.get_figwidth() * DPI), 1),
        borderaxespad=1.5,
        fontsize=13,
        frameon=False,
    )
    return round(legend.get_window_extent().height + 3 * MARGIN)


def _shorten(text: str, max_length: int) -> str:
    """Put a text on one line and cut it to a number of characters."""
    text = " ".join(text.split())
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"
