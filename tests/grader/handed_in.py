"""Submissions for the tests of the intake, honest and otherwise."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

from grader.intake import Submission, take_in

MODULES = {"ch3": "attention", "ch4": "block"}
CODE = "def causal_mask(size):\n    return size\n"


def one(folder: Path, modules=None, **options) -> Submission:
    """The only submission of a folder."""
    [submission] = take_in(folder, modules or {"ch3": "attention"}, **options)
    assert "at fault" not in str(submission.problems), submission.problems
    return submission


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def zip_bytes(
    files: dict[str, str | bytes] | list[tuple[zipfile.ZipInfo | str, str | bytes]], **options
) -> bytes:
    buffer = io.BytesIO()
    entries = files.items() if isinstance(files, dict) else files
    with zipfile.ZipFile(buffer, "w", options.pop("compression", zipfile.ZIP_DEFLATED), **options) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_bytes(entries: dict[str, str | bytes] | list[tarfile.TarInfo], mode="w", **options) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, **options) as archive:
        if isinstance(entries, dict):
            for name, content in entries.items():
                content = content if isinstance(content, bytes) else content.encode()
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        else:
            for info in entries:
                archive.addfile(info, io.BytesIO(bytes(info.size)))
    return buffer.getvalue()


def notebook(*cells: str, **metadata) -> bytes:
    """A notebook of code cells."""
    listed = [
        {"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": [], "metadata": {}}
        for cell in cells
    ]
    return json.dumps({"cells": listed, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()
