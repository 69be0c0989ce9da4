import hashlib

import pytest
import yaml

from galr.__main__ import main
from galr.data.dataset_spec import Archive
from galr.data.download import fetch_archive
from galr.errors import DownloadError

HERE = {
    "title": "weights from an address",
    "model": {"config": "rtmdet/rtmdet_tiny_8xb32-300e_coco.py"},
    "classes": ["plane"],
    "detect": {"input": [64, 64], "batch": 1, "score": 0.3, "overlap": 0.5, "regions": 10},
}


def fetched(folder, sha256, mirror="none"):
    """Fetch weights that lie at a file address."""
    published = {"url": (folder / "tiny-1234.pth").as_uri(), "sha256": sha256}
    (folder / "d.yaml").write_text(yaml.safe_dump(HERE | {"checkpoint": published}))
    return main(
        ["download-detector", "--detector", str(folder / "d.yaml"), "--mirror", str(mirror),
         "--sums", str(folder / "SHA256SUMS"), "--output", str(folder / "checkpoint.pth")]
    )  # fmt: skip


def test_published_weights_are_fetched_and_verified(tmp_path, capsys):
    (tmp_path / "tiny-1234.pth").write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert fetched(tmp_path, right) == 0
    assert (tmp_path / "checkpoint.pth").read_bytes() == b"weights"
    (tmp_path / "checkpoint.pth").unlink()
    (tmp_path / "SHA256SUMS").unlink()
    assert fetched(tmp_path, "0" * 64) == 2
    assert not (tmp_path / "checkpoint.pth").exists()
    assert "0000" in capsys.readouterr().err


def test_of_a_hash_its_beginning_will_do_and_the_first_use_binds_the_rest(tmp_path, capsys):
    (tmp_path / "tiny-1234.pth").write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert fetched(tmp_path, right[:8]) == 0
    assert (tmp_path / "SHA256SUMS").read_text() == f"{right}  tiny-1234.pth\n"
    (tmp_path / "checkpoint.pth").unlink()
    assert fetched(tmp_path, "0" * 8) == 2
    assert not (tmp_path / "checkpoint.pth").exists()
    assert "expected 00000000" in capsys.readouterr().err

    begins_alike = next(
        text
        for text in (b"%d" % number for number in range(10_000))
        if hashlib.sha256(text).hexdigest()[:2] == right[:2]
    )
    (tmp_path / "other").write_bytes(begins_alike)
    archive = Archive("tiny-1234.pth", ((tmp_path / "other").as_uri(),), right[:2])
    with pytest.raises(DownloadError, match=f"expected {right}"):
        fetch_archive(
            archive, mirror=None, checksum_file=tmp_path / "SHA256SUMS", output=tmp_path / "got"
        )
    fetch_archive(
        archive, mirror=None, checksum_file=tmp_path / "no sums yet", output=tmp_path / "got"
    )
    assert (tmp_path / "got").read_bytes() == begins_alike


def test_an_archive_of_boxes_is_fetched_by_its_name(detector_file, tmp_path, capsys):
    boxes, path = tmp_path / "boxes.zip", detector_file()
    boxes.write_bytes(b"boxes")
    said = yaml.safe_load(path.read_text())
    del said["train"]["folder"]
    sha256 = hashlib.sha256(b"boxes").hexdigest()
    said["train"]["archives"] = [{"file": "boxes.zip", "urls": [boxes.as_uri()], "sha256": sha256}]
    path.write_text(yaml.safe_dump(said))
    words = ["download-detector", "--detector", str(path), "--sums", str(tmp_path / "SHA256SUMS")]
    words += ["--output", str(tmp_path / "got")]
    assert main([*words, "--archive", "boxes.zip"]) == 0
    assert (tmp_path / "got").read_bytes() == b"boxes"
    assert main([*words, "--archive", "bxs.zip"]) == 2
    assert "has no archive 'bxs.zip'; it has: boxes.zip" in capsys.readouterr().err
    assert main(words) == 2
    assert "has no checkpoint.url" in capsys.readouterr().err


def test_a_mirror_goes_before_the_address(tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "tiny-1234.pth").write_bytes(b"weights")
    assert fetched(tmp_path, hashlib.sha256(b"weights").hexdigest(), mirror) == 0
    assert (tmp_path / "checkpoint.pth").read_bytes() == b"weights"


def test_a_detector_without_an_address_has_nothing_to_fetch(tmp_path, capsys):
    (tmp_path / "d.yaml").write_text(yaml.safe_dump(HERE | {"checkpoint": {"file": "x.pth"}}))
    words = ["--detector", str(tmp_path / "d.yaml"), "--sums", "s", "--output", "o"]
    assert main(["download-detector", *words]) == 2
    assert "nothing to download" in capsys.readouterr().err
