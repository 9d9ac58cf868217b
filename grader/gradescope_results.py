"""results.json, as Gradescope takes it from an autograder: an entry for each exercise, for the student.

What a student sees is divided from the rest where the feedback page does it (grader/feedback.py). The full
record of hidden checks goes into entries of visibility "hidden", which are for instructors alone.
"""

from grader.course_file import Course
from grader.feedback import STATES, Block, ChapterView, chapter_view
from grader.grades import Overrides, effective_points, total
from grader.page import counted, visible

TEXT = 20_000  # characters of an entry


def results_json(student: str, reports: list[dict], course: Course, overrides: Overrides) -> dict | None:
    """The results of a student's chapters; None while a grader fault leaves points undecided."""
    tests, hidden, score, seconds, words = [], [], 0, 0.0, []
    for report in reports:
        chapter = report["chapter"]
        exercises = effective_points(student, chapter, report, course, overrides)
        points, most = total(exercises), sum(exercise.max for exercise in exercises)
        if points is None:
            return None
        score += course.export.points(points, most, chapter)
        seconds += (report.get("times") or {}).get("seconds") or 0
        view = chapter_view(student, chapter, report, course, overrides)
        late = f"{view.late} The entries have them in full." if "%" in view.late else view.late
        words += [line for line in (_not_graded(view), late) if line]
        words += [line for block in view.blocks if not view.looked_at for line in _block_lines(block, view)]
        words += [f"{chapter}: {note}" for note in view.notes]
        for exercise in exercises:
            scale = course.export.most(most, chapter) / most if most else 1
            tests.append(
                {
                    "name": f"{chapter}: {exercise.name}",
                    "score": round(exercise.points * scale, 6),
                    "max_score": round(exercise.max * scale, 6),
                    "status": "passed" if exercise.state == "passed" else "failed",
                    "output": visible(_exercise_text(exercise, view)),
                    "visibility": "visible",
                }
            )
        hidden += [
            {
                "name": f"for the instructor, {chapter}: {check['name']}",
                "score": 0,
                "max_score": 0,
                "output": visible(
                    f"{check['outcome']}: {check.get('message') or ''}\n{check.get('shown') or ''}"
                ),
                "visibility": "hidden",
            }
            for check in report["checks"]
            if check["hidden"] and check["outcome"] not in ("passed", "blocked", "not started")
        ]
    return {
        "score": float(score),  # after what is lost for being late
        "execution_time": round(seconds, 1),
        "output": visible("\n".join(words)),
        "stdout_visibility": "hidden",
        "tests": [test | {"output": test["output"][:TEXT]} for test in tests + hidden],
    }


def _not_graded(view: ChapterView) -> str:
    if view.problem:
        return f"{view.name}: {view.problem}"
    return "" if view.here else f"{view.name}: there is no {view.file} in what was handed in"


def _exercise_text(exercise, view: ChapterView) -> str:
    lines = []
    if exercise.override:
        lines.append(f"Points set by your instructor: {exercise.override.reason or 'no reason is given'}")
    if not view.looked_at:
        return "\n".join([*lines, "not looked at"])
    lines.append(STATES.get(exercise.state, exercise.state))
    for names, blockers, _ in view.waiting:
        if exercise.name in names:
            lines.append(f"It waits for {blockers}.")
    for block in view.blocks:
        if block.heading.startswith(f"{exercise.name}:"):
            lines += _block_lines(block, view)
    return "\n".join(lines)


def _block_lines(block: Block, view: ChapterView) -> list[str]:
    lines = [f"Likely cause: {cause}" for cause in block.causes]
    lines += [f"Next: {block.step}"] if block.step else []
    for check in block.public:
        lines += ["", f"{check.outcome}: public check {check.name}", check.text]
    for group in block.hidden:
        told = len(group.says) + group.more
        lines += ["", f"{group.outcome}: {counted(told, 'hidden check')}" if told else group.outcome]
        lines += [f"- {says}" for says in group.says]
        lines += [f"- and {group.more} more"] if group.more else []
        lines += [f"{view.file}, line {number}: {text}" for number, text in group.lines]
    return lines
