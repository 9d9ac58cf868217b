"""Against a small server that answers as the hub does: metadata and a redirect, then bytes with Range."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import filelock
import pytest
from huggingface_hub import constants
from typer.testing import CliRunner

from course import hub
from course.data_command import data_app
from course.errors import CourseError

CONFIG = json.dumps({"model_type": "gpt2", "n_head": 12}).encode()


@dataclass
class Hub:
    """What the server has and how it misbehaves, and what was asked of it."""

    weights: bytes = b"weights" * 1000
    stop_after: int | None = None  # bytes of the weights, then the connection breaks, once
    stall_after: int | None = None  # bytes of the weights, then nothing more comes
    ignore_range: bool = False
    corrupt: str | None = None  # a file of which one byte is sent wrong
    status: int = 200
    ranges: list = field(default_factory=list)  # of the weights: the Range header, or None
    sent: int = 0  # bytes of the weights
    url: str = ""

    def content(self, filename: str) -> bytes:
        return {"config.json": CONFIG, "model.safetensors": self.weights}[filename]

    def etag(self, filename: str) -> str:
        content = self.content(filename)
        if filename == "model.safetensors":
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    fake = Hub()
    released = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.reply(body=False)

        def do_GET(self):
            self.reply(body=True)

        def reply(self, body: bool) -> None:
            filename = self.path.rsplit("/", 1)[1]
            content, etag = fake.content(filename), fake.etag(filename)
            if fake.status != 200:
                return self.head(fake.status, {"Content-Length": "0"})
            if self.path.startswith("/openai-community/gpt2/resolve/main/"):
                where = f"http://localhost:{server.server_port}/store/{filename}"
                known = {"X-Repo-Commit": "0" * 40, "X-Linked-Size": str(len(content))}
                return self.head(
                    302, {"Location": where, "X-Linked-Etag": f'"{etag}"', "Content-Length": "0", **known}
                )
            start, wanted = 0, self.headers.get("Range")
            if wanted and not fake.ignore_range:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                span = f"bytes {start}-{len(content) - 1}/{len(content)}"
                self.head(206, {"Content-Range": span, "Content-Length": str(len(content) - start)})
            else:
                self.head(200, {"Content-Length": str(len(content))})
            if body:
                self.send(filename, content, start, wanted)

        def head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def send(self, filename: str, content: bytes, start: int, wanted: str | None) -> None:
            if fake.corrupt == filename:
                content = content[:-1] + bytes([content[-1] ^ 1])
            if filename == "config.json":
                self.wfile.write(content)
                return
            fake.ranges.append(wanted)
            stop, fake.stop_after = fake.stop_after, None
            end = min(stop or len(content), fake.stall_after or len(content))
            try:
                self.wfile.write(content[start:end])
                fake.sent += end - start
            except OSError:  # the client is gone
                return
            if end < len(content):
                if not stop:
                    released.wait(30)
                self.close_connection = True

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        fake.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield fake
        released.set()
        server.shutdown()


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


WHOLE = ["config.json", "config.json.etag", "model.safetensors", "model.safetensors.etag"]


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_download_then_offline(server):
    folder = hub.download_gpt2("gpt2", server.url)
    assert (folder / "config.json").read_bytes() == CONFIG
    assert (folder / "model.safetensors").read_bytes() == server.weights
    assert names_in(folder) == WHOLE
    server.status = 500
    assert hub.download_gpt2("gpt2", server.url) == folder
    assert hub.download_gpt2("gpt2", "http://127.0.0.1:1") == folder
    assert server.ranges == [None]


def test_killed_halfway_then_resumed(server, tmp_path):
    """kill -9 in the middle of 25 MB: the second try asks for the rest only."""
    server.weights = os.urandom(25_000_000)
    server.stall_after = 21_500_000
    program = "from course.hub import download_gpt2; download_gpt2('gpt2')"
    environment = os.environ | {"HF_ENDPOINT": server.url}
    child = subprocess.Popen([sys.executable, "-c", program], env=environment, stderr=subprocess.DEVNULL)
    part = tmp_path / "gpt2" / f"model.safetensors.{server.etag('model.safetensors')[:12]}.part"
    give_up = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size >= 20_000_000):
        assert child.poll() is None and time.monotonic() < give_up
        time.sleep(0.02)
    child.kill()
    child.wait()
    kept = part.stat().st_size
    assert hub.weights_state("gpt2") == "in part"
    assert names_in(tmp_path / "gpt2") == ["config.json", "config.json.etag", part.name]

    server.stall_after, server.sent = None, 0
    folder = hub.download_gpt2("gpt2", server.url)
    assert server.ranges == [None, f"bytes={kept}-"]
    assert server.sent == len(server.weights) - kept
    assert (folder / "model.safetensors").read_bytes() == server.weights
    assert names_in(folder) == WHOLE


def keep_part(server, tmp_path, content: bytes):
    folder = tmp_path / "gpt2"
    folder.mkdir(exist_ok=True)
    part = folder / f"model.safetensors.{server.etag('model.safetensors')[:12]}.part"
    part.write_bytes(content)
    return part


def test_connection_that_breaks_goes_on_within_the_call(server, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    server.stop_after = 3500
    folder = hub.download_gpt2("gpt2", server.url)
    assert server.ranges == [None, "bytes=3000-"]
    assert (folder / "model.safetensors").read_bytes() == server.weights


def test_server_without_ranges_starts_again(server, tmp_path):
    server.ignore_range = True
    keep_part(server, tmp_path, server.weights[:3000])
    folder = hub.download_gpt2("gpt2", server.url)
    assert server.ranges == ["bytes=3000-"]
    assert (folder / "model.safetensors").read_bytes() == server.weights


def test_part_that_only_lacked_its_last_rename(server, tmp_path):
    keep_part(server, tmp_path, server.weights)
    folder = hub.download_gpt2("gpt2", server.url)
    assert server.ranges == []
    assert (folder / "model.safetensors").read_bytes() == server.weights


def test_part_longer_than_the_file_starts_again(server, tmp_path):
    keep_part(server, tmp_path, server.weights + b"more")
    folder = hub.download_gpt2("gpt2", server.url)
    assert server.ranges == [None]
    assert (folder / "model.safetensors").read_bytes() == server.weights


def test_part_of_another_version_is_not_continued(server, tmp_path):
    keep_part(server, tmp_path, server.weights[:3000])
    server.weights = b"WEIGHTS" * 1000
    folder = hub.download_gpt2("gpt2", server.url)
    assert server.ranges == [None]
    assert (folder / "model.safetensors").read_bytes() == server.weights
    assert names_in(folder) == WHOLE


@pytest.mark.parametrize("filename", ["config.json", "model.safetensors"])
def test_corrupted_content_is_deleted(server, tmp_path, filename):
    server.corrupt = filename
    with pytest.raises(CourseError) as caught:
        hub.download_gpt2("gpt2", server.url)
    assert one_line(caught).startswith(
        f"{filename} of openai-community/gpt2 arrived damaged and was deleted; "
    )
    assert not any(name.startswith(filename) for name in names_in(tmp_path / "gpt2"))
    server.corrupt = None
    assert names_in(hub.download_gpt2("gpt2", server.url)) == WHOLE


def test_damaged_part_is_found_by_its_checksum(server, tmp_path):
    part = keep_part(server, tmp_path, b"x" * 3000)
    with pytest.raises(CourseError, match="arrived damaged"):
        hub.download_gpt2("gpt2", server.url)
    assert not part.exists()


def test_404(server, tmp_path):
    server.status = 404
    with pytest.raises(CourseError) as caught:
        hub.download_gpt2("gpt2", server.url)
    assert one_line(caught) == (
        f"the hub answers 404 to {server.url}/openai-community/gpt2/resolve/main/config.json; "
        "try again later, or give a folder that holds config.json and model.safetensors: --weights FOLDER"
    )
    assert names_in(tmp_path / "gpt2") == []


def test_no_network(server, tmp_path):
    with pytest.raises(CourseError) as caught:
        hub.download_gpt2("gpt2", "http://127.0.0.1:1")
    message = one_line(caught)
    assert message.startswith(
        "http://127.0.0.1:1/openai-community/gpt2/resolve/main/config.json cannot be reached"
    )
    assert message.endswith("or give a folder that holds config.json and model.safetensors: --weights FOLDER")
    assert names_in(tmp_path / "gpt2") == []


def test_not_enough_space_is_said_before_the_download(server, monkeypatch):
    usage = hub.shutil.disk_usage("/")._replace(free=5000)
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(CourseError, match="0 MB free and 0 MB are needed; free some space"):
        hub.download_gpt2("gpt2", server.url)
    assert server.ranges == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limit to set")
def test_write_that_the_system_stops_keeps_what_came(server, tmp_path, monkeypatch):
    import resource

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    try:
        with pytest.raises(CourseError) as caught:
            hub.download_gpt2("gpt2", server.url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "the file would be larger than this system allows" in one_line(caught)
    folder = hub.download_gpt2("gpt2", server.url)
    assert server.ranges == [None, "bytes=4000-"]
    assert (folder / "model.safetensors").read_bytes() == server.weights


def test_two_processes_do_not_write_one_part(server, tmp_path):
    (tmp_path / "gpt2").mkdir()
    with (
        filelock.FileLock(tmp_path / "gpt2" / "download.lock"),
        pytest.raises(CourseError, match="gpt2 is being downloaded by another process; wait"),
    ):
        hub.download_gpt2("gpt2", server.url)
    assert server.ranges == []


def test_damaged_weights_are_found_and_fetched_again(server, monkeypatch):
    folder = hub.download_gpt2("gpt2", server.url)
    (folder / "model.safetensors").write_bytes(server.weights[:-1] + b"?")
    assert hub.weights_state("gpt2", verify=True) == "damaged"
    assert "gpt2; run: course data fetch gpt2" in str(CliRunner().invoke(data_app, ["verify"]).exception)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    result = CliRunner().invoke(data_app, ["fetch", "gpt2"])
    assert result.output.split() == ["gpt2", str(folder)]
    assert hub.weights_state("gpt2", verify=True) == "here"
    assert (folder / "model.safetensors").read_bytes() == server.weights


def test_weights_put_here_by_hand(server, tmp_path):
    (tmp_path / "gpt2").mkdir()
    for filename in hub.WEIGHT_FILES:
        (tmp_path / "gpt2" / filename).write_bytes(b"mine")
    assert hub.weights_state("gpt2", verify=True) == "here"
    assert hub.download_gpt2("gpt2", server.url) == tmp_path / "gpt2"


def test_unknown_weights():
    with pytest.raises(CourseError, match="no weights called gpt3; known are gpt2, gpt2-medium"):
        hub.download_gpt2("gpt3")
