import hashlib
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from galr.data.download import read_checksums, store_checksum
from galr.errors import DataError


def test_without_a_file_no_hash_is_recorded(tmp_path):
    assert read_checksums(tmp_path / "SHA256SUMS") == {}


def test_a_later_hash_replaces_an_earlier_one(tmp_path):
    sums = tmp_path / "SHA256SUMS"
    for file, digit in (("b ü.zip", "1"), ("a.zip", "2"), ("b ü.zip", "3")):
        store_checksum(sums, file, digit * 64)
    assert read_checksums(sums) == {"a.zip": "2" * 64, "b ü.zip": "3" * 64}


def test_downloads_that_end_at_the_same_time_keep_each_others_line(tmp_path):
    sums = tmp_path / "SHA256SUMS"
    hashes = {f"{i}.zip": hashlib.sha256(bytes([i])).hexdigest() for i in range(60)}
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda item: store_checksum(sums, *item), hashes.items()))
    assert read_checksums(sums) == hashes


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_sha256sum_and_this_package_read_each_others_files(tmp_path):
    (tmp_path / "a b.zip").write_bytes(b"bytes")
    store_checksum(tmp_path / "ours", "a b.zip", hashlib.sha256(b"bytes").hexdigest())
    subprocess.run(["sha256sum", "--check", "--status", "ours"], cwd=tmp_path, check=True)
    theirs = subprocess.run(
        ["sha256sum", "a b.zip"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    (tmp_path / "theirs").write_text(theirs, "utf-8")
    assert read_checksums(tmp_path / "theirs") == read_checksums(tmp_path / "ours")


def test_an_invalid_line_is_named(tmp_path):
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(f"{'0' * 64}  a.zip\n<<<<<<< HEAD\n", "utf-8")
    with pytest.raises(DataError, match="line 2 is '<<<<<<< HEAD'"):
        read_checksums(sums)
