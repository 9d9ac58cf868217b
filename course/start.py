"""`course start`: a folder of one's own with the exercises, which later updates of the course leave alone."""

import os
import secrets
import shlex
import shutil
from pathlib import Path

from grader.course_file import NAME, find_course_file, load_course

from .errors import CourseError
from .screen import say
from .whole_file import cannot_write
from .workplace import BEFORE_RESET, EXERCISES, HANDED_OUT, STATE, handed_out

README = """\
# TITLE

Your own folder. The chapters are in `exercises/`; fill in what says "not written yet".
Type these here:

    course                        where you stand, and what is next
    course watch                  checks the exercise in hand each time you save
    pytest exercises/ch1          all checks of a chapter, once
    course hint NAME              a hint for an exercise, one at a time
    course reset NAME             puts an exercise's stub back and keeps a copy of yours
    course train --pieces exercises     trains what you have built

An exercise's docstring is its assignment. Nothing here changes when you update the course.
"""

# So that pytest takes this folder as its own, also inside of another project. The plugin left out comes with
# watchfiles, and every run of pytest would wait for it.
PYTEST_INI = """\
[pytest]
testpaths = exercises
addopts = -q -p no:anyio
"""

GITIGNORE = f"""\
__pycache__/
{STATE}/
.pytest_cache/
runs/
"""


def start(folder: Path) -> None:
    _refuse_what_is_there(folder)
    course_file = find_course_file(HANDED_OUT)
    if not HANDED_OUT.is_dir() or course_file is None:
        raise CourseError("this installation has no exercises to start from; install the course anew")
    temporary = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.tmp"
    try:
        _fill(temporary, course_file)
        if folder.exists():  # it is empty; not every system renames over it
            folder.rmdir()
        os.rename(temporary, folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    say(f"{folder} is your own folder. Next:\n\n  cd {shlex.quote(str(folder))}\n  course")


def _fill(target: Path, course_file: Path) -> None:
    files = {target / EXERCISES / path: _source(path) for path in _handed_out()}
    files[target / NAME] = course_file
    for copy, source in files.items():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)  # without its permissions: an installation may be read-only
    title = load_course(course_file).title
    for name, text in (("README.md", README), ("pytest.ini", PYTEST_INI), (".gitignore", GITIGNORE)):
        (target / name).write_text(text.replace("TITLE", title), encoding="utf-8", newline="\n")


def _handed_out() -> list[Path]:
    """Every file of the course's exercises, without what running them leaves behind."""
    paths = (file.relative_to(HANDED_OUT) for file in sorted(HANDED_OUT.rglob("*")) if file.is_file())
    return [
        path
        for path in paths
        if not any(part == "__pycache__" or part.startswith(".") for part in path.parts)
        and BEFORE_RESET not in path.name
        and path.name != NAME
    ]


def _source(path: Path) -> Path:
    """Of a module its stub: the one in the course's own copy may be being filled in."""
    return handed_out(path.parent.name, path.name) if path.suffix == ".py" else HANDED_OUT / path


def _refuse_what_is_there(folder: Path) -> None:
    if folder.resolve() == Path.cwd():
        raise CourseError("give your folder a name, and it will be made here: course start my-gpt")
    if folder.is_file():
        raise CourseError(f"{folder} is a file; choose another name")
    try:
        entries = set(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise cannot_write(folder, error) from None
    if EXERCISES in entries:
        raise CourseError(f"{folder} has exercises already: cd there and type course, or choose another name")
    if entries:
        raise CourseError(f"{folder} is not empty; choose another name")
