"""What one unit of grading is given: bytes, so that a process or a machine elsewhere can take it.

Apart from unit.py, which loads torch.
"""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from grader.course_folder import CourseFolder
from grader.intake import HandedIn
from grader.sandbox import Tier


def make_task(
    folder: CourseFolder,
    chapter: str,
    master: str,
    tier: Tier,
    hidden: Iterable[Path],
    student: str,
    handed_in: HandedIn,
    earlier: dict[str, HandedIn] | None = None,
    **more,
) -> bytes:
    """What `unit.grade` takes. more: for those who look at tasks on their way."""
    task = {
        "course": str(folder.root),
        "chapter": chapter,
        "master": master,
        "tier": tier.plain(),
        "hidden": [str(path) for path in hidden],
        "student": student,
        "handed_in": dataclasses.asdict(handed_in),
        "earlier": {name: dataclasses.asdict(one) for name, one in (earlier or {}).items()},
    }
    return json.dumps(task | more).encode()
