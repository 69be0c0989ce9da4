import hashlib

import yaml

from galr.__main__ import main

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
    assert "nothing to fetch" in capsys.readouterr().err
