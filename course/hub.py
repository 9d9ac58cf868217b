"""GPT-2's weights from the Hugging Face hub: resumable, and checked by the hub's own etag.

huggingface_hub's own hf_hub_download starts an interrupted file again from its first byte (it names its
partial files at random), which hurts at 0.5 to 6 GB. So its own pieces are put together here around a
partial file of a known name: the hub's metadata, and the transfer with a Range.
"""

import hashlib
import os
import shutil
from pathlib import Path

from .corpora import WEIGHTS, data_folder
from .errors import CourseError
from .whole_file import ADVICE, cannot_write, write_whole

WEIGHT_FILES = ["config.json", "model.safetensors"]


def weights_folder(name: str) -> Path:
    if name not in WEIGHTS:
        raise CourseError(f"no weights called {name}; known are {', '.join(WEIGHTS)}")
    return data_folder() / name


def weights_state(name: str, verify: bool = False) -> str:
    """ "here", "not fetched", "in part", or, asked to verify (seconds a GB), "damaged"."""
    folder = weights_folder(name)
    paths = [folder / filename for filename in WEIGHT_FILES]
    if not all(path.is_file() for path in paths):
        return "in part" if any(folder.glob("*.part")) else "not fetched"
    if verify and not all(_matches(path) for path in paths):
        return "damaged"
    return "here"


def download_gpt2(name: str, endpoint: str | None = None, verify: bool = False) -> Path:
    """The folder with config.json and model.safetensors, downloaded first if they are not there.

    With `verify`, also those that are there but damaged. `endpoint` is the hub's address; by default
    huggingface_hub's own, which HF_ENDPOINT changes.
    """
    from filelock import FileLock, Timeout

    folder = weights_folder(name)
    paths = [folder / filename for filename in WEIGHT_FILES]
    missing = [path.name for path in paths if not path.is_file() or (verify and not _matches(path))]
    if not missing:
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "download.lock", timeout=0):
            for filename in missing:
                _download(WEIGHTS[name].repo, filename, folder, endpoint)
    except Timeout as error:
        raise CourseError(f"{name} is being downloaded by another process; wait until it ends") from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder


def _download(repo: str, filename: str, folder: Path, endpoint: str | None) -> None:
    import huggingface_hub
    from huggingface_hub.file_download import http_get

    huggingface_hub.logging.set_verbosity_error()  # a retry is no news
    url = huggingface_hub.hf_hub_url(repo, filename, endpoint=endpoint)
    try:
        # Without a token: these files are public, and a token that has expired would be refused.
        remote = huggingface_hub.get_hf_file_metadata(url, token=False)
    except Exception as error:  # the classes differ from one version of the library's HTTP client to the next
        raise _no_download(url, error) from error
    if remote.size is None or len(remote.etag or "") not in (40, 64):
        raise CourseError(f"{url} comes without a size and checksum; see that HF_ENDPOINT names a hub")

    # The etag is in the name, so that a file that has changed on the hub is never glued to its older half.
    part = folder / f"{filename}.{remote.etag[:12]}.part"
    for older in folder.glob(f"{filename}.*.part"):
        if older != part or older.stat().st_size > remote.size:
            older.unlink()
    _check_space(part, remote.size)
    try:
        with part.open("ab") as file:
            http_get(
                remote.location,
                file,
                resume_size=file.tell(),
                expected_size=remote.size,
                displayed_filename=filename,
            )
            file.flush()
            os.fsync(file.fileno())
    except Exception as error:
        if isinstance(error, OSError) and error.errno in ADVICE:
            raise cannot_write(part, error) from error
        raise _no_download(url, error) from error

    if _hub_etag(part, remote.etag) != remote.etag:
        part.unlink()
        raise CourseError(f"{filename} of {repo} arrived damaged and was deleted; run this again")
    with write_whole(_etag_path(folder / filename), "w") as file:
        file.write(remote.etag)
    os.replace(part, folder / filename)


def _no_download(url: str, error: Exception) -> CourseError:
    otherwise = f"or give a folder that holds {' and '.join(WEIGHT_FILES)}: --weights FOLDER"
    response = getattr(error, "response", None)
    if response is not None:
        return CourseError(f"the hub answers {response.status_code} to {url}; try again later, {otherwise}")
    reason = (str(error) or repr(error)).splitlines()[0]
    return CourseError(
        f"{url} cannot be reached or broke off ({reason}); "
        f"run this again with a network, it goes on from where it stopped, {otherwise}"
    )


def _check_space(part: Path, size: int) -> None:
    needed = size - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise CourseError(
            f"{part.parent} has {free / 1e6:,.0f} MB free and {needed / 1e6:,.0f} MB are needed; "
            "free some space, or name a folder on another disk in COURSE_DATA"
        )


def _etag_path(path: Path) -> Path:
    return path.with_name(path.name + ".etag")


def _matches(path: Path) -> bool:
    if not _etag_path(path).is_file():  # put here by hand: nothing to compare with
        return True
    try:
        etag = _etag_path(path).read_text("utf-8")
        return _hub_etag(path, etag) == etag
    except (OSError, UnicodeDecodeError):
        return False


def _hub_etag(path: Path, like: str) -> str:
    """The hub's checksum of a file: sha256 of a large one (64 digits), else git's sha1 of a blob (40)."""
    blob = b"blob %d\0" % path.stat().st_size
    digest = hashlib.sha256() if len(like) == 64 else hashlib.sha1(blob)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
