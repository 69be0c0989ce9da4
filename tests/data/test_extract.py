import gzip
import io
import stat
import struct
import tarfile
import zipfile

import pytest

from galr.data.extract import extract
from galr.errors import DataError

ROOMY = 1.0  # GB
TREE = {"a/one.jpg": b"1" * 5000, "a/b/zwei-ä.txt": "ä".encode(), "three.json": b""}


def zipped(path, members, **info):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            entry = zipfile.ZipInfo(name)
            for key, value in info.items():
                setattr(entry, key, value)
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path


def tarred(path, members, mode="w:gz", **info):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for key, value in info.items():
                setattr(entry, key, value)
            archive.addfile(entry, io.BytesIO(content))
    return path


def tree(folder):
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def refused(tmp_path, archives, words, limit_gb=ROOMY):
    """Check that extracting fails with this message and leaves no file."""
    output = tmp_path / "out/files"
    before = tree(tmp_path)
    with pytest.raises(DataError, match=words):
        extract(archives, output, limit_gb=limit_gb)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("mode", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_the_packed_files_are_extracted(tmp_path, mode):
    path = tmp_path / f"mine.{mode}"
    if mode == "zip":
        zipped(path, TREE)
    else:
        tarred(path, TREE, f"w:{mode.removeprefix('tar').removeprefix('.')}")
    extract([path], tmp_path / "files", limit_gb=ROOMY)
    assert tree(tmp_path / "files") == {f"{path.stem}/{name}": c for name, c in TREE.items()}


def test_each_archive_has_its_own_folder_and_plain_files_are_copied(tmp_path):
    (tmp_path / "caps.txt").write_bytes(b"a plane .\n")
    archives = [zipped(tmp_path / f"{n}.zip", {"README.md": n.encode()}) for n in "ab"]
    extract([*archives, tmp_path / "caps.txt"], tmp_path / "files", limit_gb=ROOMY)
    assert tree(tmp_path / "files") == {
        "a/README.md": b"a",
        "b/README.md": b"b",
        "caps.txt": b"a plane .\n",
    }


def test_backslashes_separate_folders(tmp_path):
    zipped(tmp_path / "a.zip", {"images\\one.jpg": b"1", "images\\": b""})
    extract([tmp_path / "a.zip"], tmp_path / "files", limit_gb=ROOMY)
    assert tree(tmp_path / "files") == {"a/images/one.jpg": b"1"}


def test_an_empty_archive_makes_an_empty_folder(tmp_path):
    extract([zipped(tmp_path / "a.zip", {})], tmp_path / "files", limit_gb=ROOMY)
    assert tree(tmp_path / "files") == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("/etc/evil", "absolute path"),
        ("C:\\evil", "absolute path"),
        ("../evil", r"leads out of the folder"),
        ("a/../../evil", r"leads out of the folder"),
        ("..\\evil", r"leads out of the folder"),
        ("../", r"leads out of the folder"),
    ],
)
def test_names_that_lead_out_of_the_folder_are_errors(tmp_path, name, words):
    content = {"good.txt": b"good", name: b"" if name.endswith("/") else b"evil"}
    refused(tmp_path, [zipped(tmp_path / "a.zip", content)], words)
    if "\\" not in name:
        refused(tmp_path, [tarred(tmp_path / "b.tar.gz", content)], words)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_in_a_tar_are_errors(tmp_path, kind):
    path = tarred(tmp_path / "a.tar", {"evil": b""}, "w", type=kind, linkname="/etc/passwd")
    refused(tmp_path, [path], "'evil' is a link or device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_errors(tmp_path, kind):
    path = zipped(
        tmp_path / "a.zip",
        {"evil": b"/etc/passwd"},
        create_system=3,
        external_attr=(kind | 0o777) << 16,
    )
    refused(tmp_path, [path], "'evil' is a link or device")


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_bomb_stops_at_the_limit(tmp_path, pack):
    path = pack(tmp_path / f"a.{'zip' if pack is zipped else 'tar.gz'}", {"x": bytes(3_000_000)})
    assert path.stat().st_size < 10_000
    refused(tmp_path, [path], r"more than the limit of 0.002 GB.*unpack_limit_gb", limit_gb=0.002)
    extract([path], tmp_path / "files", limit_gb=0.004)


def test_the_limit_is_for_all_archives_together(tmp_path):
    archives = [zipped(tmp_path / f"{n}.zip", {"x": bytes(600_000)}) for n in "ab"]
    refused(tmp_path, archives, "b.zip extracts to more than the limit of", limit_gb=0.001)


def test_a_million_empty_files_stop_at_the_limit(tmp_path):
    path = tarred(tmp_path / "a.tar.gz", {f"{i}": b"" for i in range(300)})
    refused(tmp_path, [path], "more than the limit", limit_gb=0.0001)


def test_a_header_with_a_wrong_size_does_not_avoid_the_limit(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x": bytes(3_000_000)})
    lie = path.read_bytes().replace(struct.pack("<I", 3_000_000), struct.pack("<I", 30))
    path.write_bytes(lie)
    refused(tmp_path, [path], "damaged", limit_gb=0.002)


def test_an_error_leaves_the_older_folder(tmp_path):
    good = zipped(tmp_path / "good.zip", {"new.txt": b"new"})
    evil = zipped(tmp_path / "evil.zip", {"../evil": b"evil"})
    (tmp_path / "files").mkdir()
    (tmp_path / "files/old.txt").write_bytes(b"old")
    with pytest.raises(DataError):
        extract([good, evil], tmp_path / "files", limit_gb=ROOMY)
    assert tree(tmp_path / "files") == {"old.txt": b"old"}
    extract([good], tmp_path / "files", limit_gb=ROOMY)
    assert tree(tmp_path / "files") == {"good/new.txt": b"new"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["evil.zip", "files", "good.zip"]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz"])
def test_damage_is_named(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"<html>quota exceeded</html>" * 50)
    refused(tmp_path, [path], f"{name} is damaged or does not match its suffix")
    (zipped if name == "a.zip" else tarred)(path, TREE)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(tmp_path, [path], f"{name} is damaged")


def test_flipped_bytes_are_detected(tmp_path):
    path = zipped(tmp_path / "a.zip", TREE)
    broken = bytearray(path.read_bytes())
    broken[45] ^= 255  # inside the first member's compressed bytes
    path.write_bytes(broken)
    refused(tmp_path, [path], "damaged")


def test_a_password_and_an_unsupported_format_are_named(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x": b"x"})
    locked = bytearray(path.read_bytes())
    locked[locked.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption, in the directory
    locked[6] |= 1  # and at the member
    path.write_bytes(locked)
    refused(tmp_path, [path], "password required")
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    refused(tmp_path, [tmp_path / "a.rar"], "extract it yourself")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_an_error(tmp_path):
    path = zipped(tmp_path / "a.zip", {"x": b"one"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x", b"two")
    refused(tmp_path, [path], "'x' cannot be written")


@pytest.mark.parametrize("mode", ["tar", "tar.gz"])
def test_a_tar_that_is_cut_between_two_entries_is_damaged(tmp_path, mode):
    whole = tarred(tmp_path / "whole.tar", {"1.jpg": b"1" * 512, "2.jpg": b"2" * 512}, "w")
    path = tmp_path / f"cut.{mode}"
    cut = whole.read_bytes()[:1024]  # the first entry with its header
    path.write_bytes(gzip.compress(cut) if mode == "tar.gz" else cut)
    refused(tmp_path, [path], "is damaged .*its end is missing.*download it again")
