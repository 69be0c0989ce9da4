"""What a self-contained HTML page needs: templates that include `style.html`, and images as data URIs."""

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from galr.palette import COLOURS, INK, OTHER_COLOUR, PAPER

THUMBNAIL_SIDE = 224  # pixels: about twice the displayed size, for screens of high density
JPEG_QUALITY = 78


def template_environment(folder: Path) -> jinja2.Environment:
    """Load the templates of a folder, which may include this folder's `style.html`.

    Templates know the palette as `paper`, `ink` and `box_colours`, of which the first is that of other classes.
    All values are escaped; a misspelt name in a template raises an error.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader((folder, Path(__file__).parent)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"paper": PAPER, "ink": INK, "box_colours": (OTHER_COLOUR, *COLOURS)}
    return environment


def data_uri(pixels: np.ndarray) -> str:
    """Encode an image as the data URI of a JPEG.

    Args:
        pixels: (height, width, 3) uint8, RGB; the longer side is reduced to `THUMBNAIL_SIDE`.

    Returns:
        `data:image/jpeg;base64,…`
    """
    image = Image.fromarray(np.asarray(pixels))
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
