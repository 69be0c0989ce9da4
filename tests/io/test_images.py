import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from galr.errors import DataError
from galr.io.images import load_resized

COLOUR = (200, 120, 40)
GREY = 137


def flat(mode, value):
    return Image.new(mode, (12, 8), value)


def palette(transparent=None):
    image = flat("P", 1)
    image.putpalette([9, 9, 9, *COLOUR])
    if transparent is not None:
        image.info["transparency"] = transparent
    return image


@pytest.mark.parametrize(
    ("image", "suffix", "expected"),
    [
        (flat("RGB", COLOUR), "png", COLOUR),
        (flat("RGB", COLOUR), "tif", COLOUR),
        (flat("L", GREY), "png", (GREY,) * 3),
        (flat("L", GREY), "tif", (GREY,) * 3),
        (flat("1", 1), "png", (255,) * 3),
        (flat("LA", (GREY, 255)), "png", (GREY,) * 3),
        (palette(), "png", COLOUR),
        (palette(), "tif", COLOUR),
        (palette(transparent=0), "png", COLOUR),
        (palette(transparent=1), "png", (0, 0, 0)),
        (flat("RGBA", (*COLOUR, 255)), "png", COLOUR),
        (flat("RGBA", (*COLOUR, 0)), "png", (0, 0, 0)),
        (flat("RGBA", (*COLOUR, 51)), "png", (40, 24, 8)),  # a fifth of it over black
        (flat("RGBA", (*COLOUR, 255)), "tif", COLOUR),
        (flat("CMYK", (55, 135, 215, 0)), "tif", COLOUR),
    ],
)
def test_every_mode_is_converted_to_its_colour(tmp_path, image, suffix, expected):
    path = tmp_path / f"image.{suffix}"
    image.save(path)
    image = load_resized(path, 5)
    assert image.pixels.shape == (5, 5, 3)
    assert image.pixels.dtype == np.uint8
    assert (image.pixels == expected).all()
    assert (image.width, image.height) == (12, 8)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_formats_are_close(tmp_path, mode, suffix):
    if (mode, suffix) == ("CMYK", "webp"):
        image, expected = flat("RGBA", (*COLOUR, 255)), COLOUR
    else:
        value = {"RGB": COLOUR, "L": GREY, "CMYK": (55, 135, 215, 0)}[mode]
        image, expected = flat(mode, value), (GREY,) * 3 if mode == "L" else COLOUR
    path = tmp_path / f"image.{suffix}"
    image.save(path, quality=95)
    assert np.abs(load_resized(path, 5).pixels - np.array(expected, int)).max() <= 3


def test_sixteen_bit_colour_is_scaled_like_sixteen_bit_grey(tmp_path):
    """Pillow writes no PNG of 16-bit colour, so it is put together by hand."""
    path = tmp_path / "colour.png"
    values = np.arange(0, 65536, 5461, dtype=">u2")
    rows = b"\0" + np.repeat(values, 3).tobytes()
    header = len(values).to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([16, 2, 0, 0, 0])
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        PngImagePlugin.putchunk(file, b"IHDR", header)
        PngImagePlugin.putchunk(file, b"IDAT", zlib.compress(rows))
        PngImagePlugin.putchunk(file, b"IEND")
    Image.fromarray(values.astype(np.uint16)[None]).save(tmp_path / "grey.png")
    size = len(values)
    colour = load_resized(path, size).pixels[0].astype(int)
    grey = load_resized(tmp_path / "grey.png", size).pixels[0].astype(int)
    assert np.abs(colour - grey).max() <= 1
    assert grey[:, 0].tolist() == sorted(grey[:, 0].tolist())


def test_an_image_of_the_right_size_does_not_change(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (load_resized(tmp_path / "a.png", 9).pixels == pixels).all()


def test_shrinking_averages_all_pixels(tmp_path):
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(board).save(tmp_path / "a.png")
    inner = load_resized(tmp_path / "a.png", 8).pixels[1:-1, 1:-1].astype(int)
    assert np.abs(inner - 127.5).max() < 2  # taking every eighth pixel would give 0 or 255


def test_an_exif_orientation_is_not_applied(tmp_path):
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    image = load_resized(tmp_path / "a.jpg", 20)
    assert (image.width, image.height) == (40, 20)
    assert image.pixels[:, 1].min() > 250
    assert image.pixels[:, -2].max() < 5


@pytest.mark.filterwarnings("ignore:Truncated File Read", "ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_a_truncated_image_is_an_error(tmp_path, suffix):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    for share in (0.0, 0.01, 0.3, 0.6, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DataError, match=rf"a.{suffix} cannot be decoded"):
            load_resized(path, 8)


def test_text_is_an_error(tmp_path):
    (tmp_path / "text.jpg").write_text("<html>")
    with pytest.raises(DataError, match="it is a web page"):
        load_resized(tmp_path / "text.jpg", 4)
