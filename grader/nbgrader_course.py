"""`grader nbgrader init`: a folder in which nbgrader's commands grade this course."""

import datetime
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from nbgrader.api import Gradebook

from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.notebooks import chapters_with_pages, write_sources

CONFIG = '''"""nbgrader grades this course with `grader`'s judge; students' code runs nowhere else."""

from grader.nbgrader_steps import configure

c = get_config()
configure(c, course={course!r})
c.CourseDirectory.course_id = {course_id!r}

# To refuse grading where there is no sandbox (see `grader doctor`):
# c.AskJudge.require_sandbox = True
'''


def init(folder: CourseFolder, to: Path, chapters: Iterable[str]) -> None:
    """A new nbgrader course: its configuration, sources, and a gradebook with the deadlines."""
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise GraderError(f"{to} is there already, and not empty: name a new folder")
    chapters = chapters_with_pages(folder, chapters)
    course_id = re.sub(r"[^a-z0-9]+", "-", folder.course.title.lower()).strip("-") or "course"
    unfinished = to.with_name(f".{to.name}.{secrets.token_hex(4)}.tmp")
    try:
        unfinished.mkdir(parents=True)
        (unfinished / "nbgrader_config.py").write_text(
            CONFIG.format(course=str(folder.root), course_id=course_id), encoding="utf-8"
        )
        write_sources(folder, chapters, unfinished / "source")
        _make_gradebook(folder, unfinished / "gradebook.db", course_id, chapters)
        if to.is_dir():
            to.rmdir()
        os.replace(unfinished, to)
    except OSError as error:
        raise GraderError(f"cannot make {to}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    print(f"{to}: {', '.join(chapters)}")
    print(f"next: cd {to} && nbgrader generate_assignment {chapters[0]}")


def _make_gradebook(folder: CourseFolder, path: Path, course_id: str, chapters: list[str]) -> None:
    # nbgrader runs alembic, which stands beside this Python and need not be on the path
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    with Gradebook(f"sqlite:///{path}", course_id) as gradebook:
        for name in chapters:
            deadline = folder.course.chapters[name].deadline
            due = deadline.astimezone(datetime.UTC).replace(tzinfo=None) if deadline else None
            gradebook.add_assignment(name, course_id=course_id, duedate=due)
        gradebook.engine.dispose()
