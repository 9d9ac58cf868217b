"""Files that appear whole or not at all."""

import os
import secrets
from pathlib import Path

from grader.errors import GraderError


def write_whole(path: Path, data: bytes) -> None:
    """A file that appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


def cannot_write(path: Path, error: OSError) -> GraderError:
    return GraderError(f"cannot write {path}: {error.strerror or error}")
