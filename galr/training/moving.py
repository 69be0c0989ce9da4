"""Regions follow the picture: where it is turned and cropped, so are its boxes, and the edges between them."""

import torch
from torch import Tensor

from galr.graph.adjacency import Edges, adjacency
from galr.graph.boxes import BOX, LEAST_SIZE
from galr.model.galr import Graph
from galr.training.pixels import Views


def moved(graph: Graph, views: Views, edges: Edges) -> Graph:
    """Turn and crop the regions as their pictures are, and weigh their edges anew (our reconstruction).

    A box becomes the smallest upright one around the turned one, cut at the crop's border; a region that
    no longer shows is left out, and the others close up. It is what DREA would make of the moved boxes, on the
    device and for a batch at once.

    Args:
        graph: of B pictures, its representation ending in score and box as DREA writes it.
        views: of the same B pictures, on the CPU.
        edges: how DREA weighed the edges.

    Returns:
        The moved graph: same shapes, rows of what no longer shows are padding at the end.
    """
    representation, _, mask = graph
    boxes = moved_boxes(representation[..., -len(BOX) :], views)
    mask = mask & (boxes[..., 2:] > LEAST_SIZE).all(dim=-1)
    order = (
        (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    )  # what shows first, else as it stood
    mask = mask.gather(1, order)
    rows = torch.cat([representation[..., : -len(BOX)], boxes], dim=-1)
    rows = rows.gather(1, order.unsqueeze(2).expand_as(rows)) * mask.unsqueeze(2)
    laid = torch.where(mask, rows[..., -len(BOX) :].movedim(-1, 0), 1.0)  # no box is empty
    score = rows[..., -len(BOX) - 1]
    return Graph(rows, adjacency(laid, score, mask, edges), mask)


def moved_boxes(boxes: Tensor, views: Views) -> Tensor:
    """Turn boxes with their pictures, take the upright hull, and cut it at the crop's border.

    Args:
        boxes: (B, n, 4) centre x, y, width and height in units of the picture.
        views: of the B pictures.

    Returns:
        (B, n, 4) the same in units of the crop; no wider or no higher than 0 where nothing shows.
    """
    turn, shift = views.turn.to(boxes), views.shift.to(boxes)
    place = (boxes[..., :2] * 2 - 1) @ turn  # a row times the rotation turns back
    centre = (place - shift.unsqueeze(1)) / views.share  # from -1 to 1 across the crop
    half = boxes[..., 2:] @ turn.abs() / views.share
    low, high = (side.clamp(-1, 1) for side in (centre - half, centre + half))
    return torch.cat([(low + high + 2) / 4, (high - low) / 2], dim=-1)
