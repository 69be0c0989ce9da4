"""Draw docs/how/drea-example.svg from the example on the page: `python docs/drea_example.py`."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

PAGE = Path(__file__).parent / "how/drea.md"
COLOURS = ("tab:blue", "tab:orange")
FEATURES = ("class 0", "class 1", "score", "x", "y", "width", "height")


def draw() -> None:
    """Run the example and draw boxes with edges, X and A."""
    example: dict = {}
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(code, example)  # noqa: S102  our own page
    regions, graphs = example["regions"], example["graphs"]
    kept = graphs.region_index[0][graphs.mask[0]].tolist()
    adjacency, representation = graphs.adjacency[0], graphs.representation[0]
    plt.rcParams["svg.hashsalt"] = "galr"
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(11, 3.6), width_ratios=(1, 1.6, 1), layout="constrained"
    )
    left.set(xlim=(0, 100), ylim=(100, 0), aspect="equal", title="regions and edges")
    centres = (regions.boxes[:, :2] + regions.boxes[:, 2:]) / 2
    for i, (x1, y1, x2, y2) in enumerate(regions.boxes):
        style = {"linestyle": "-" if i in kept else "--", "linewidth": 1.5 if i in kept else 1}
        colour = COLOURS[regions.classes[i]] if i in kept else "grey"
        left.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, **style))
        left.text(
            x1 + 1,
            y1 + 6 if i in kept else y2 - 2,
            f"{regions.scores[i]:.1f}",
            color=colour,
            fontsize=8,
        )
    for a, one in enumerate(kept):
        for b, other in enumerate(kept[:a]):
            ends = centres[[one, other]]
            left.plot(*ends.T, color="black", linewidth=8 * adjacency[a, b], alpha=0.6, zorder=0)
    for axes, matrix, title in ((middle, representation, "X"), (right, adjacency, "A")):
        axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1.4)
        axes.set(title=title, xticks=range(matrix.shape[1]), yticks=range(len(matrix)))
        for (row, column), value in zip(
            ((r, c) for r in range(len(matrix)) for c in range(matrix.shape[1])),
            matrix.flat,
            strict=True,
        ):
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7)
    middle.set_xticklabels(FEATURES, fontsize=8)
    figure.savefig(PAGE.with_name("drea-example.svg"), metadata={"Date": None})
    print(adjacency.round(3), kept)


if __name__ == "__main__":
    draw()
