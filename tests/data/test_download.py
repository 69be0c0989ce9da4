"""Downloads from a local server that interrupts, changes its files and records the requests."""

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from galr.data.dataset_spec import Archive
from galr.data.download import fetch_archive, read_checksums
from galr.errors import ConfigError, DownloadError

BODY = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)


@dataclass
class Script:
    """The files of the server, its failures, and the requests it received."""

    body: bytes = BODY
    etag: str | None = '"one"'
    cuts: list[int] = field(
        default_factory=list
    )  # bytes to send before breaking off, an answer each
    codes: list[int] = field(default_factory=list)  # failures to answer first
    html: bool = False
    ranges: list[str | None] = field(default_factory=list)  # the header Range of every request


def handler_of(script):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            requested_range = self.headers.get("Range")
            script.ranges.append(requested_range)
            if script.codes:
                self.send_error(script.codes.pop(0))
                return
            same = self.headers.get("If-Range", script.etag) == script.etag
            start = (
                int(requested_range.removeprefix("bytes=").rstrip("-"))
                if requested_range and same
                else 0
            )
            whole = len(script.body)
            if start >= whole:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{whole}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            if script.etag:
                self.send_header("ETag", script.etag)
            self.send_header("Content-Type", "text/html" if script.html else "application/zip")
            self.send_header("Content-Length", str(whole - start))
            self.end_headers()
            end = start + script.cuts.pop(0) if script.cuts else whole
            self.wfile.write(script.body[start:end])

    return Handler


@contextmanager
def serving(script):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(script))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/a.zip"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def url(script):
    with serving(script) as address:
        yield address


@pytest.fixture
def nowhere():
    with serving(Script()) as address:
        pass
    return address  # no server listens there any more


@pytest.fixture
def get(tmp_path):
    def run(*urls, sha256=None, mirror=None, pauses=(0, 0, 0)):
        output = tmp_path / "archives/a.zip"
        fetch_archive(
            Archive("a.zip", urls, sha256),
            mirror=mirror,
            checksum_file=tmp_path / "SHA256SUMS",
            output=output,
            backoff=pauses,
        )
        return output

    return run


def names_in(folder):
    return sorted(file.name for file in folder.iterdir())


def test_an_archive_is_complete_and_its_hash_is_recorded(get, url, tmp_path):
    assert get(url).read_bytes() == BODY
    assert names_in(tmp_path / "archives") == ["a.zip"]
    assert read_checksums(tmp_path / "SHA256SUMS") == {"a.zip": hashlib.sha256(BODY).hexdigest()}


@pytest.mark.parametrize("etag", ['"one"', 'W/"weak"', None])
def test_an_interrupted_download_is_resumed(get, url, script, etag):
    script.etag, script.cuts = etag, [1000, 5000]
    assert get(url).read_bytes() == BODY
    assert script.ranges == [None, "bytes=1000-", "bytes=6000-"]


def test_tries_that_bring_bytes_do_not_count_as_failures(get, url, script):
    script.cuts = [10_000] * 25
    assert get(url, pauses=(0,)).read_bytes() == BODY


def test_a_later_call_resumes_an_earlier_one(get, url, script, tmp_path):
    script.cuts = [1000, 0]
    with pytest.raises(DownloadError):
        get(url, pauses=())
    assert not (tmp_path / "archives/a.zip").exists()
    assert get(url).read_bytes() == BODY
    assert script.ranges[-1] == "bytes=1000-"


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ('"one"', '"two"', OTHER),
        ('"one"', '"two"', OTHER[:200_000]),
        ('"one"', '"two"', OTHER[:500]),
        (None, None, OTHER[:200_000]),  # without validators the length still shows a change
        (None, None, OTHER[:500]),
    ],
)
def test_two_versions_of_a_file_are_never_mixed(get, url, script, before, after, changed):
    script.etag, script.cuts = before, [1000, 0]
    with pytest.raises(DownloadError):
        get(url, pauses=())
    script.body, script.etag = changed, after
    assert get(url).read_bytes() == changed


def test_a_complete_partial_file_is_not_downloaded_again(get, url, script, tmp_path):
    script.cuts = [len(BODY) - 1, 0]
    with pytest.raises(DownloadError):
        get(url, pauses=())
    (partial,) = [f for f in (tmp_path / "archives").iterdir() if f.name.endswith(".part")]
    with partial.open("ab") as file:
        file.write(BODY[-1:])
    assert get(url).read_bytes() == BODY
    assert script.ranges[-1] == f"bytes={len(BODY)}-"


def test_temporary_failures_are_tried_again(get, url, script):
    script.codes = [503, 429, 500]
    assert get(url).read_bytes() == BODY
    assert len(script.ranges) == 4


def test_permanent_failures_are_not_tried_again(get, url, script):
    script.codes = [503] * 9
    with pytest.raises(DownloadError, match="HTTP 503"):
        get(url)
    assert len(script.ranges) == 4
    script.codes, script.ranges = [404] * 9, []
    with pytest.raises(DownloadError, match="HTTP 404 Not Found"):
        get(url)
    assert len(script.ranges) == 1


def test_addresses_are_tried_in_order(get, url, nowhere, tmp_path):
    page, gone, weak = Script(html=True), Script(codes=[404]), Script(cuts=[1000, 0, 0])
    with serving(page) as first, serving(gone) as second, serving(weak) as third:
        assert get(nowhere, first, second, third, url, pauses=(0,)).read_bytes() == BODY
    assert [len(each.ranges) for each in (page, gone, weak)] == [1, 1, 3]
    assert names_in(tmp_path / "archives") == ["a.zip"]


def test_a_file_address_is_copied(get, tmp_path):
    (tmp_path / "ä b.zip").write_bytes(BODY)
    assert get((tmp_path / "ä b.zip").as_uri()).read_bytes() == BODY
    with pytest.raises(DownloadError, match="No such file"):
        get((tmp_path / "none.zip").as_uri(), sha256="0" * 64)


def test_a_published_hash_must_match_and_a_wrong_file_is_deleted(get, url, tmp_path):
    with pytest.raises(DownloadError, match=f"expected {'0' * 64}"):
        get(url, sha256="0" * 64)
    assert names_in(tmp_path / "archives") == []
    assert read_checksums(tmp_path / "SHA256SUMS") == {}
    assert get(url, sha256=hashlib.sha256(BODY).hexdigest()).read_bytes() == BODY


def test_the_first_hash_binds_later_downloads_and_mirrors(get, url, script, tmp_path):
    get(url).unlink()
    script.body, script.etag = OTHER, '"two"'
    with pytest.raises(DownloadError, match="the archive has changed"):
        get(url)
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "a.zip").write_bytes(OTHER)
    with pytest.raises(DownloadError, match=r"mirror/a.zip: sha256 is"):
        get(url, mirror=mirror)
    assert names_in(tmp_path / "archives") == []
    assert (mirror / "a.zip").read_bytes() == OTHER


def test_a_mirror_is_tried_before_the_network_and_may_be_incomplete(get, url, script, tmp_path):
    (tmp_path / "mirror").mkdir()
    assert get(url, mirror=tmp_path / "mirror").read_bytes() == BODY
    get(url).unlink()
    script.ranges.clear()
    (tmp_path / "mirror/a.zip").write_bytes(BODY)
    assert get(url, mirror=tmp_path / "mirror").read_bytes() == BODY
    assert script.ranges == []
    with pytest.raises(ConfigError, match="is not a folder"):
        get(url, mirror=tmp_path / "mirrror")


def test_without_internet_the_message_names_file_address_and_folder(get, nowhere, tmp_path):
    (tmp_path / "mirror").mkdir()
    for mirror, folder in ((tmp_path / "mirror", f"{tmp_path}/mirror"), (None, "mirror")):
        with pytest.raises(DownloadError) as caught:
            get(nowhere, mirror=mirror)
        line = str(caught.value)
        assert "\n" not in line
        assert line.count(nowhere) == 1
        assert f"save it as {folder}/a.zip and set mirror: {folder}" in line


def test_an_existing_archive_is_verified(get, nowhere, url, tmp_path):
    output = tmp_path / "archives/a.zip"
    output.parent.mkdir()
    output.write_bytes(BODY)
    assert get(nowhere) == output
    assert read_checksums(tmp_path / "SHA256SUMS") == {"a.zip": hashlib.sha256(BODY).hexdigest()}
    output.write_bytes(OTHER)
    with pytest.raises(DownloadError):
        get(nowhere)
    assert not output.exists()
    output.write_bytes(OTHER)
    assert get(url).read_bytes() == BODY
