"""Files that appear whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from .errors import CourseError

# What a person can do about it, for the ways in which writing a file commonly fails.
ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or choose a folder on another disk",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file would be larger than this system allows; choose another folder",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EACCES: "you may not write there; choose another folder or change its permissions",
    errno.EPERM: "you may not write there; choose another folder or change its permissions",
    errno.EISDIR: "there is a folder of that name; choose another name",
    errno.ENOTDIR: "part of that path is a file, not a folder; choose another folder",
    errno.EEXIST: "part of that path is a file, not a folder; choose another folder",
}


def cannot_write(path: Path, error: OSError) -> CourseError:
    advice = ADVICE.get(error.errno) or f"{error.strerror or error}; choose another folder"
    return CourseError(f"cannot write {path}: {advice}")


@contextmanager
def write_whole(path: str | Path, mode: str = "wb") -> Iterator[IO]:
    """Yield an open file that takes the place of `path` when the block ends well.

    Until then the bytes are in a temporary file of the same folder (made if missing), which any failure
    removes. So a reader, or a process killed halfway, finds the old file or the whole new one.
    An OSError in the block is taken to be about writing `path`: do nothing else inside.

        with write_whole("loss.csv", "w") as file:
            file.write("step,loss\\n")
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    except RuntimeError as error:
        # torch.save reports a full disk as a RuntimeError of its own, raised while handling the OSError.
        if isinstance(error.__context__, OSError):
            raise cannot_write(path, error.__context__) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()
