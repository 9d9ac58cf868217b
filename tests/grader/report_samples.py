"""Reports as the judge writes them, put together by hand for the tests of pages and results."""

from pathlib import Path

from grader.course_file import load_course

COURSE = """\
[course]
title = "Toy course"
reference = "toy_solutions"

[chapters.ch1]
title = "Sums"
module = "sums"

[chapters.ch1.points]
total = 40
mean = 60

[chapters.ch3]
title = "Attention"
module = "attention"

[chapters.ch3.points]
causal_mask = 20
Attention = 70
count_up = 10
"""

# what grader.failure_text writes of a public check, a picture and numbers in it
SHOWN = """\
Attention: A token attends to itself and to what came before it, never to what
comes after.

    layer = draw.fill(attention.Attention(d_in=6, d_out=4))
    _, weights = layer(3 * draw.normal(1, 6, 6))
    return weights[0]

The value is not the expected one:

  24 of 36 numbers differ, first at [0, 0], by up to 0.9971

       expected        actual, * differs
     0 ██··········    ▓▓░░▒▒░░··░░ *
     1 ▓▓▒▒········    ▒▒▒▒░░░░░░▒▒ *
       · is 0, █ is 1, signs aside

  row [0]
    expected  1.0000      0      0      0      0      0
    actual    0.6776 0.0000 0.3132 0.0000 0.0000 0.0092
              ^^^^^^        ^^^^^^               ^^^^^^

This is what comes of head-without-mask. The mask is never used.

Next: mend that, then `pytest exercises/ch3 -k no_weight_after`.
"""


def toy_course(folder: Path):
    path = folder / "course.toml"
    path.write_text(COURSE)
    return load_course(path)


def check(name, exercise, outcome="passed", hidden=True, **more) -> dict:
    return {
        "name": name,
        "exercise": exercise,
        "hidden": hidden,
        "says": f"What {name} is about.",
        "outcome": outcome,
        "message": "",
        "misconceptions": [],
        "fault": None,
        "shown": "",
        "seconds": 0.004,
        "repeated": False,
    } | more


def fault(
    kind="RuntimeError", number=28, text="scores = queries @ keys", function="Attention.forward", **more
):
    line = {"number": number, "function": function, "text": text}
    return {"type": kind, "message": "shapes differ", "lines": [line]} | more


def turn(name="head-without-mask", exercise="Attention", says="The mask is never used.") -> dict:
    return {"name": name, "exercise": exercise, "says": says}


def report(student="alice", chapter="ch3", course=None, checks=(), states=None, **more) -> dict:
    """A report; states: of the exercises that did not pass. Checks not given are hidden ones that passed."""
    states = states or {}
    points = course.chapters[chapter].points
    checks = [*checks]
    for name in points:
        if not any(c["exercise"] == name for c in checks) and name not in states:
            checks += [check(f"{name}_values", name), check(f"{name}_dtypes", name)]
    exercises = []
    for name, most in points.items():
        own = [c["outcome"] for c in checks if c["exercise"] == name and c["hidden"]]
        state = states.get(name) or ("passed" if all(o == "passed" for o in own) else "failed")
        exercises.append(
            {"name": name, "points": most if state == "passed" else 0, "max": most, "state": state}
            | {"passed": own.count("passed"), "checks": len(own)}
        )
    return {
        "format": 1,
        "student": student,
        "chapter": chapter,
        "title": course.chapters[chapter].title,
        "module": course.chapters[chapter].module,
        "points": sum(exercise["points"] for exercise in exercises),
        "max": 100,
        "submission": {"name": f"{chapter}/module.py", "sha256": "5e", "notes": [], "problem": ""},
        "exercises": exercises,
        "checks": checks,
        "printed": "",
        "tier": {"name": "bubblewrap", "says": "in a sandbox: no network"},
        "hashes": {"submission": "a1", "checks": "b2", "grader": "c3", "round": "d4" * 16},
        "faults": [],
        "times": {"graded": "2026-11-21T13:05:00+00:00", "seconds": 0.12, "import_seconds": 0.01},
    } | more


def half_done(course, student="alice", **more) -> dict:
    """The mask right, the head without it, the last one not begun."""
    wrong = {"misconceptions": [turn()], "message": "The value is not the expected one", "shown": SHOWN}
    checks = [
        check("head_weights", "Attention", "wrong", **wrong),
        check("head_context", "Attention", "wrong", **wrong),
        check("head_parts", "Attention"),
        check("counts", "count_up", "not started", message="count_up"),
        check("no_weight_after", "Attention", "wrong", hidden=False, **wrong),
        check("head_shape", "Attention", hidden=False),
    ]
    return report(student, course=course, checks=checks, states={"count_up": "not started"}, **more)
