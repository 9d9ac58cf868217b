"""`grader doctor`: what grading has to work with here, and what to do about what it lacks."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grader.cluster import NO_DASK
from grader.course_file import find_course_file, load_course
from grader.errors import GraderError
from grader.grading import cores
from grader.sandbox import best_tier
from grader.wrapping import fold

DISK = 1 << 30
MEMORY_A_JUDGE = 1 << 30  # a judge and its worker, each with torch
PACKAGES = ("torch", "numpy", "tiktoken", "regex", "safetensors", "pytest")


def doctor() -> int:
    """Print what is there; 0 if grading can begin, 1 if something is to be done first."""
    bad = 0
    for name, says, advice in (*_versions(), *_sandbox(), _cores(), *_disks(), _course()):
        bad += advice.startswith("!")
        lines = fold(f"{name + ':':<12} {says}", later=" " * 13)
        if advice:
            lines += fold(" " * 13 + advice.lstrip("!"), later=" " * 13)
        print("\n".join(lines))
    return 1 if bad else 0


def _versions() -> Iterator[tuple[str, str, str]]:
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.release()}", ""
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield name, "is not installed", "!install the course: pip install -e ."
    yield "packages", ", ".join(found), ""


def _sandbox() -> Iterator[tuple[str, str, str]]:
    try:
        tier = best_tier()
    except GraderError as error:
        yield "sandbox", "none", f"!{error}"
        return
    if tier.name == "bubblewrap":
        said = subprocess.run([shutil.which("bwrap"), "--version"], capture_output=True, text=True)
        yield "sandbox", f"{said.stdout.strip()}: {tier.says}", ""
    else:
        yield "sandbox", f"{tier.name}: {tier.says}", f"for a better one: {tier.why_not_better}"
    try:
        dask = f"dask {importlib.metadata.version('distributed')}"
    except importlib.metadata.PackageNotFoundError:
        yield "cluster", "dask is not installed; one machine needs none", NO_DASK
        return
    fit = "can be" if "network" in tier.stops else "cannot be"
    yield "cluster", f"{dask}; this machine {fit} a grader worker", ""


def _cores() -> tuple[str, str, str]:
    says = f"{cores()} cores, so {cores()} judges at a time"
    advice = ""
    if sys.platform == "linux":
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        says += f"; {memory / 2**30:.1f} GiB of memory free"
        if memory < cores() * MEMORY_A_JUDGE:
            fitting = max(1, memory // MEMORY_A_JUDGE)
            advice = f"each takes up to 1 GiB: give grader grade --workers {fitting}"
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return "cores", f"{says}; OMP_NUM_THREADS is {threads}, and workers use one thread each", advice


def _disks() -> Iterator[tuple[str, str, str]]:
    for name, path in (("disk", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(path).free
        advice = f"!that is too little: free some in {path}" if free < DISK else ""
        yield name, f"{free / 2**30:.1f} GiB free in {path}", advice


def _course() -> tuple[str, str, str]:
    file = find_course_file(Path.cwd())
    if file is None:
        return "course", "no course.toml here or above", "!run grader in the course's folder"
    try:
        course = load_course(file)
    except GraderError as error:
        return "course", "cannot be read", f"!{error}"
    hidden = [name for name in course.chapters if (file.parent / "tests" / name).is_dir()]
    if not (file.parent / course.reference).is_dir() or not hidden:
        return (
            "course",
            course.title,
            "!this is a hand-out: grading needs the solutions and the hidden checks",
        )
    return "course", f"{course.title}, hidden checks for {len(hidden)} of {len(course.chapters)} chapters", ""
