"""`course start`: a folder of one's own with the exercises, which later updates of the course leave alone."""

import os
import secrets
import shlex
import shutil
from pathlib import Path

from .errors import CourseError
from .handed_out import RECORD, HandOut, Record, hand_out
from .screen import say
from .whole_file import cannot_write
from .workplace import EXERCISES, STATE

README = """\
# TITLE

Your own folder. The chapters are in `exercises/`; fill in what says "not written yet".
Type these here:

    course                       where you stand, and what is next
    course watch                 checks the exercise in hand each time you save
    pytest exercises/ch1         all checks of a chapter, once
    course hint NAME             a hint for an exercise, one at a time
    course reset NAME            puts an exercise's stub back, keeps a copy of yours
    course train --pieces exercises    trains what you have built
    course update                brings this folder up to a newer course

The docstring of an exercise is its assignment. An exercise has its points when all
of its checks pass.

A newer course that you install changes nothing here until you type `course update`.
That renews the checks, tells which assignments changed, and leaves what you have
written as it is.

## To try a failing check by hand

Open a Python shell in this folder and type three lines, with the chapter, the module
and the check in question:

    from exercises.ch3 import attention; from exercises.ch3.test_attention import *
    from grader.draw import Draw; from grader.seeds import seed_for
    draw = Draw(seed_for("public", "ch3", "future_positions_get_no_weight"))

`draw` makes the inputs, the same ones each time it is made, and `draw.fill(module)`
sets a module's parameters. Then `future_positions_get_no_weight.function(attention, draw)`
is what your code gives. To take the call apart, type `def look():`, paste the check's
lines from exercises/ch3/test_attention.py, and after an empty line `look()`.
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
    made = hand_out()
    temporary = folder.parent / f".{folder.name}.{secrets.token_hex(4)}.tmp"
    try:
        _fill(temporary, made)
        if folder.exists():  # it is empty; not every system renames over it
            folder.rmdir()
        os.rename(temporary, folder)
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    say(f"{folder} is your own folder. Next:\n\n  cd {shlex.quote(str(folder))}\n  course")


def own_files(title: str) -> dict[str, bytes]:
    """What a folder gets beside the exercises; it is the student's to change."""
    texts = {"README.md": README, "pytest.ini": PYTEST_INI, ".gitignore": GITIGNORE}
    return {name: text.replace("TITLE", title).encode() for name, text in texts.items()}


def _fill(target: Path, made: HandOut) -> None:
    own = own_files(made.course.title)
    state = {f"{STATE}/.gitignore": b"*\n", RECORD: Record.of(made, own).to_json()}
    for name, data in {**made.files, **made.modules, **own, **state}.items():
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


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
