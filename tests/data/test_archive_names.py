"""Names in archives that do not say in which encoding they are."""

import io
import json
import struct
import tarfile
import zipfile
import zlib

import pytest

from galr.__main__ import main
from galr.data.extract import extract
from galr.errors import DataError

CHINESE = ["机场_1.jpg", "港口/飞机 2.jpg", "模1.jpg"]
WESTERN = ["río.jpg", "forêt.jpg", "ñandú/Öl.jpg"]


def packed_zip(path, names, encoding, *, flag=0, extra=lambda raw: b"", **texts):
    """Write a zip whose names are bytes in an encoding, with or without the flag of UTF-8."""
    raw = [name.encode(encoding) for name in names]
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(raw):
            entry = zipfile.ZipInfo(f"{number}".rjust(len(name), "#"))
            entry.extra = extra(name)
            archive.writestr(entry, names[number].encode())
        for name, text in texts.items():
            archive.writestr(name.replace("_", "."), text)
    content = path.read_bytes()
    for number, name in enumerate(raw):
        placeholder = f"{number}".rjust(len(name), "#").encode()
        assert content.count(placeholder) == 2  # before the file and in the directory
        content = content.replace(placeholder, name)
    if flag:
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = content.index(mark) + offset
            content = content[:at] + struct.pack("<H", flag) + content[at + 2 :]
    path.write_bytes(content)
    return path


def packed_tar(path, names, encoding, pax=()):
    with tarfile.open(path, "w:gz", format=tarfile.GNU_FORMAT, encoding=encoding) as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(name.encode())
            archive.addfile(entry, io.BytesIO(name.encode()))
    return path


def extracted(tmp_path, *archives):
    """Extract, check that each file holds its own name, and return the names and the notes."""
    notes = extract(archives, tmp_path / "files", limit_gb=1.0)
    files = [file for file in (tmp_path / "files").rglob("*") if file.is_file()]
    names = {
        str(file.relative_to(tmp_path / "files/a")): file for file in files if "a" in file.parts
    }
    assert all(file.read_text() == name for name, file in names.items() if file.suffix == ".jpg")
    return sorted(name for name in names if name.endswith(".jpg")), notes


@pytest.mark.parametrize("names", [CHINESE, WESTERN, [*CHINESE, *WESTERN]])
@pytest.mark.parametrize("pack", [packed_zip, packed_tar])
def test_names_that_are_utf8_are_utf8(tmp_path, names, pack):
    path = tmp_path / ("a.zip" if pack is packed_zip else "a.tar.gz")
    found, notes = extracted(tmp_path, pack(path, names, "utf-8"))
    if pack is packed_zip:
        assert found == sorted(names)
        (note,) = notes
        assert note.startswith("a.zip: the archive does not say") and "read as utf-8" in note
    else:
        assert notes == []  # as tars are


def test_chinese_names_of_windows_are_read_as_gbk(tmp_path):
    found, notes = extracted(tmp_path, packed_zip(tmp_path / "a.zip", CHINESE, "gbk"))
    assert found == sorted(CHINESE)
    assert notes[0].endswith("its 3 names beyond ASCII are; read as gbk, in which all are Chinese")


@pytest.mark.parametrize(("names", "encoding"), [(CHINESE, "gbk"), (WESTERN, "latin-1")])
def test_names_of_a_tar_that_are_not_utf8_are_chinese_or_latin(tmp_path, names, encoding):
    path = packed_tar(tmp_path / "a.tar.gz", names[::-1], encoding)
    extract([path], tmp_path / "files", limit_gb=1.0)
    files = [file for file in (tmp_path / "files/a.tar").rglob("*.jpg")]
    assert {str(f.relative_to(tmp_path / "files/a.tar")): f.read_text() for f in files} == {
        name: name for name in names
    }


def test_western_names_are_read_as_the_format_says(tmp_path):
    found, notes = extracted(tmp_path, packed_zip(tmp_path / "a.zip", WESTERN, "cp437"))
    assert found == sorted(WESTERN)
    assert "read as cp437, for want of a sign" in notes[0] and "pack the archive again" in notes[0]


@pytest.mark.parametrize(
    ("names", "encoding"),
    [
        (["река.jpg", "лес/поле.jpg"], "cp866"),
        (["река.jpg", "лес/поле.jpg"], "cp1251"),
        (["機場_1.jpg", "港口.jpg"], "big5"),
        (["空港.jpg", "ソ表.jpg"], "cp932"),  # the second byte of some is a backslash
        (WESTERN, "cp1252"),
        (["镕 1.jpg", "喆.jpg"], "gbk"),  # rare characters
    ],
)
@pytest.mark.parametrize("listing", ["beside", "inside", "escaped"])
def test_text_files_of_the_dataset_tell_which_encoding_it_is(tmp_path, names, encoding, listing):
    document = json.dumps({"images": names}, ensure_ascii=listing == "escaped")
    texts = {"dataset_json": document} if listing == "inside" else {}
    archives = [packed_zip(tmp_path / "a.zip", names, encoding, **texts)]
    if listing != "inside":
        archives.append(tmp_path / "dataset.json")
        archives[1].write_text(document, "utf-8")
    found, notes = extracted(tmp_path, *archives)
    assert found == sorted(names)
    assert f"read as {encoding}, in which the dataset's text files name them" in notes[0]


def test_a_listing_in_another_archive_is_read_too_and_a_damaged_one_is_left_out(tmp_path):
    names = ["река.jpg"]
    with tarfile.open(tmp_path / "lists.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo("caps.txt")
        entry.size = len("река.jpg\n".encode())
        archive.addfile(entry, io.BytesIO("река.jpg\n".encode()))
    path = packed_zip(tmp_path / "a.zip", names, "cp1251")
    assert extracted(tmp_path, tmp_path / "lists.tar.gz", path)[0] == names
    (tmp_path / "lists.tar.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(DataError, match=r"lists\.tar\.gz is damaged"):
        extracted(tmp_path, path, tmp_path / "lists.tar.gz")


def unicode_path(raw):
    """Info-ZIP's field, as WinRAR writes it beside a name in the system's encoding."""
    name = raw.decode("cp866").encode()
    value = struct.pack("<BL", 1, zlib.crc32(raw)) + name
    return struct.pack("<HH", 0x7075, len(value)) + value


def test_the_unicode_path_field_goes_before_everything(tmp_path):
    names = ["река.jpg", "лес.jpg"]
    path = packed_zip(tmp_path / "a.zip", names, "cp866", extra=unicode_path)
    assert extracted(tmp_path, path) == (sorted(names), [])


def test_ascii_names_and_flagged_ones_need_no_note(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.jpg", *CHINESE):
            archive.writestr(name, name)
    assert extracted(tmp_path, tmp_path / "a.zip") == (sorted(["a.jpg", *CHINESE]), [])


def test_a_flag_that_lies_is_one_line(tmp_path):
    path = packed_zip(tmp_path / "a.zip", ["飞机.jpg"], "gbk", flag=0x800)
    with pytest.raises(DataError, match="says that its names are UTF-8, and they are not"):
        extracted(tmp_path, path)


def test_files_that_macos_adds_are_left_out(tmp_path):
    names = ["set/a.jpg", "set/._a.jpg", "__MACOSX/set/._a.jpg", "__MACOSX/b.jpg"]
    for path in (
        packed_zip(tmp_path / "a.zip", names, "utf-8"),
        packed_tar(tmp_path / "b.tar", names, "utf-8"),
    ):
        extract([path], tmp_path / "files", limit_gb=1.0)
        files = [file for file in (tmp_path / "files").rglob("*") if file.is_file()]
        assert [str(f.relative_to(tmp_path / "files")) for f in files] == [f"{path.stem}/set/a.jpg"]


def test_a_name_that_leads_out_of_the_folder_is_refused_in_every_encoding(tmp_path):
    path = packed_zip(tmp_path / "a.zip", ["机场.jpg", "..\\飞机.jpg"], "gbk")
    with pytest.raises(DataError, match="leads out of the folder"):
        extracted(tmp_path, path)


def test_the_command_says_in_one_line_how_names_were_read(tmp_path, capsys):
    path = packed_zip(tmp_path / "a.zip", CHINESE, "gbk")
    argv = ["extract", "--archives", path, "--unpack-limit-gb", "1", "--output", tmp_path / "files"]
    assert main([*map(str, argv)]) == 0
    error = capsys.readouterr().err
    assert error.count("read as gbk") == 1 and error.startswith("a.zip: ")
