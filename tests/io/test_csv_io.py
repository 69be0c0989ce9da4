"""CSV files: what is written, and what is refused when it is read."""

import pytest

from galr.errors import DataError
from galr.io.csv_io import read_csv, write_csv


def test_cells_are_quoted_where_they_must_be(tmp_path):
    path = tmp_path / "new/x.csv"
    write_csv(path, ("name", "reason"), [("a,b", 'says "é"'), (7, None)])
    assert path.read_text(encoding="utf-8") == 'name,reason\n"a,b","says ""é"""\n7,\n'
    table = read_csv(path, ("name",), text_columns=("name", "reason"))
    assert table["name"].tolist() == ["a,b", "7"] and table["reason"].isna().tolist() == [False, True]  # fmt: skip


def test_without_rows_the_header_is_written(tmp_path):
    write_csv(tmp_path / "x.csv", ("a", "b"), [])
    assert (tmp_path / "x.csv").read_text() == "a,b\n"
    assert read_csv(tmp_path / "x.csv", ("a",)).empty


def test_text_columns_keep_what_looks_like_a_number_or_missing(tmp_path):
    write_csv(tmp_path / "x.csv", ("name", "count"), [("007", 1), ("NA", 2)])
    table = read_csv(tmp_path / "x.csv", ("name", "count"), text_columns=("name",))
    assert table["name"].tolist() == ["007", "NA"] and table["count"].tolist() == [1, 2]


def test_a_failed_writer_leaves_the_older_file(tmp_path):
    write_csv(tmp_path / "x.csv", ("a",), [(1,)])

    def rows():
        yield (2,)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_csv(tmp_path / "x.csv", ("a",), rows())
    assert (tmp_path / "x.csv").read_text() == "a\n1\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; give another file"),
        (b"", r"is not a CSV file \(No columns"),
        (b"a,b\n1,2,3\n4,5,6,7\n", r"is not a CSV file \(Error tokenizing"),
        (b"a,b\n\xff\xfe,1\n", r"is not a CSV file \('utf-8' codec"),
        (b"a,c\n1,2\n", "lacks b; expected at least a, b; give another file"),
    ],
)
def test_what_cannot_be_read_is_one_line(content, message, tmp_path):
    path = tmp_path / "x.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.csv {message}") as caught:
        read_csv(path, ("a", "b"))
    assert "delete" not in str(caught.value)
