import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from plaudit.data.sources.download import download
from plaudit.errors import DataError, OutputError

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """A server of one file that can break off, ignore Range, or fail; it notes what was asked."""

    server: "Server"

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.path != "/file":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = self.server.break_off_at or len(CONTENT)
        self.server.break_off_at = None
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.break_off_at: int | None = None
        self.ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(url: str, target: Path, md5: str = MD5) -> None:
    download(url, target, md5=md5, hint="or name a local copy", console=Console(quiet=True))


def error_of(url: str, target: Path, md5: str = MD5) -> str:
    with pytest.raises(DataError) as caught:
        fetch(url, target, md5)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(url)
    assert message.endswith("or name a local copy")
    assert not target.exists()
    return message


def test_file_arrives_and_part_is_gone(server, tmp_path):
    fetch(server.url, tmp_path / "new" / "file.tar.gz")
    assert (tmp_path / "new" / "file.tar.gz").read_bytes() == CONTENT
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_interrupted_download_is_resumed(server, tmp_path):
    target = tmp_path / "file.tar.gz"
    server.break_off_at = 300_001
    assert "stopped at 300,001 of 1,024,000 bytes; run again" in error_of(server.url, target)
    server.break_off_at = 700_000
    error_of(server.url, target)
    fetch(server.url, target)
    assert target.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300001-", "bytes=700000-"]


def test_server_that_ignores_range_sends_all_again(server, tmp_path):
    target = tmp_path / "file.tar.gz"
    server.break_off_at = 1000
    error_of(server.url, target)
    server.ranges = False
    fetch(server.url, target)
    assert target.read_bytes() == CONTENT


def test_whole_part_is_taken_without_another_byte(server, tmp_path):
    (tmp_path / "file.tar.gz.part").write_bytes(CONTENT)
    fetch(server.url, tmp_path / "file.tar.gz")
    assert (tmp_path / "file.tar.gz").read_bytes() == CONTENT


def test_file_with_a_wrong_digest_is_deleted(server, tmp_path):
    message = error_of(server.url, tmp_path / "file.tar.gz", md5="0" * 32)
    assert f"md5 is {MD5}, not 000" in message
    assert not list(tmp_path.iterdir())


def test_part_of_another_file_is_deleted_and_the_next_call_works(server, tmp_path):
    (tmp_path / "file.tar.gz.part").write_bytes(b"x" * 50)
    error_of(server.url, tmp_path / "file.tar.gz")
    fetch(server.url, tmp_path / "file.tar.gz")
    assert (tmp_path / "file.tar.gz").read_bytes() == CONTENT


def test_missing_page_is_named(server, tmp_path):
    assert "answers 404" in error_of(server.url.replace("/file", "/elsewhere"), tmp_path / "file.tar.gz")


def test_unreachable_server_is_named(tmp_path):
    with Server() as closed:
        url = closed.url
    assert "cannot be reached" in error_of(url, tmp_path / "file.tar.gz")


def test_unwritable_folder_is_an_output_error(server, tmp_path):
    (tmp_path / "blocked").touch()
    with pytest.raises(OutputError, match="set PLAUDIT_CACHE elsewhere"):
        fetch(server.url, tmp_path / "blocked" / "file.tar.gz")


def test_full_disk_is_an_output_error(server, tmp_path):
    target = tmp_path / "file.tar.gz"
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    target.with_name("file.tar.gz.part").symlink_to(full)
    with pytest.raises(OutputError, match="No space left"):
        fetch(server.url, target)
    assert not target.exists()
