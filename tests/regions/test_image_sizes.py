"""Names and sizes of images, from a table or from the headers of image files."""

import numpy as np
import pytest
from PIL import Image

from galr.errors import DataError
from galr.regions.image_sizes import read_sizes, scan_sizes


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "has no column image_id; its first line must be image_id,width,height"),
        ("image_id,width\na,1", "has no column height"),
        ("image_id,width,height\na,1,1\n,1,1", "line 3 has image_id ''; a name is expected"),
        (
            "image_id,width,height\na,1,0",
            "line 2 has width '1' and height '0'; pixels are expected",
        ),
        ("image_id,width,height\na,1", "line 2 has width '1' and height ''"),
        ("image_id,width,height\na,1.5,2", "has width '1.5'"),
        ("image_id,width,height\na,99999999999,2", "has width '99999999999'"),
        ("image_id,width,height\na,2," + "9" * 5000, "has width '2' and height '999"),
        ("image_id,width,height\na,1,1\na.png,2,2", "two images called a; names must be unique"),
        (b"image_id,width,height\n\xe4,1,1", "is no CSV in UTF-8"),
        ('image_id,width,height\n"' + "a" * 200_000, "is no CSV in UTF-8 (field larger than"),
    ],
)
def test_a_wrong_table_of_sizes_is_named_with_its_line(table, says, tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(DataError) as refused:
        read_sizes(path)
    assert says in str(refused.value)


def test_sizes_are_sorted_by_name_and_other_columns_ignored(tmp_path):
    (tmp_path / "sizes.csv").write_text(
        "\ufeffheight,image_id,more,width\r\n2,b.tif,x,1\r\n4, a ,y,3\r\n", encoding="utf-8"
    )
    names, sizes = read_sizes(tmp_path / "sizes.csv")
    assert names == ["a", "b"] and sizes.tolist() == [[3, 4], [1, 2]] and sizes.dtype == np.int32


def test_only_the_headers_of_the_images_in_a_folder_are_read(tmp_path):
    (tmp_path / "b").mkdir()
    Image.new("RGB", (30, 40)).save(tmp_path / "b/x.png")
    Image.effect_noise((200, 100), 50).save(tmp_path / "a.tif")
    (tmp_path / "note.txt").write_text("not an image")
    data = (tmp_path / "b/x.png").read_bytes()
    (tmp_path / "b/x.png").write_bytes(data[:50])  # its pixels are gone
    names, sizes = scan_sizes(tmp_path)
    assert names == ["a", "b/x"] and sizes.tolist() == [[200, 100], [30, 40]]
    (tmp_path / "b/x.png").write_bytes(data[:10])
    with pytest.raises(
        DataError, match=r"x.png cannot be decoded .*no image.*; remove it, or give sizes"
    ):
        scan_sizes(tmp_path)
    (tmp_path / "b/x.png").unlink()
    (tmp_path / "a.JPG").write_bytes((tmp_path / "a.tif").read_bytes())
    assert scan_sizes(tmp_path)[0] == ["a.JPG", "a.tif"]
    with pytest.raises(DataError, match="has no images"):
        scan_sizes(tmp_path / "b")
