"""A toy course with a page in the book, and a class that hands in its notebook in every way."""

import copy
import json
from pathlib import Path

from tests.grader import toy_course

PAGE = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Sums

After [chapter 1](ch1.md) you can add. First a question of shapes, $T < 3$:

```{code-cell} ipython3
from course.book_pieces import pieces

sums = pieces("ch1")
JOURNEY = [1, 2, 3]
```

```{exercise} standardise
```

```{question} why-spread
:points: 5
Why a small number in the denominator?
```

```{exercise} Mixer
```

```{code-cell} ipython3
---
mystnb:
  image:
    alt: "A line that goes up."
---
print(sums.Mixer(2))
```

```{exercise} coin
```

That was all.
"""

HIDDEN = '''\
import os
import signal

from grader.checks import check


@check("standardise", seconds=0.5)
def hidden_spread(sums, draw):
    """A hidden look at the spread."""
    SECRET_OFFSET = 4711
    return sums.standardise(draw.normal(6) + SECRET_OFFSET)


@check("Mixer", seconds=1)
def hidden_mixer(sums, draw):
    """A hidden look at the rows."""
    return draw.fill(sums.Mixer(3))(draw.normal(2, 3))


@check("coin", seconds=1)
def hidden_coin(sums):
    """A hidden toss."""
    return sums.coin(1000)


@hidden_coin.accept
def _(seen):
    if seen.sum() == 1000:
        os.kill(os.getpid(), signal.SIGKILL)  # a judge that is lost over all heads
    return bool(400 < seen.sum() < 600)
'''

DEADLINE = "2026-10-01T12:00:00+00:00"
COURSE = (
    toy_course.COURSE.replace('module = "sums"\n', f'module = "sums"\ndeadline = {DEADLINE}\n')
    + "\n[late]\npercent_per_day = 10\ndays = 5\n"
)
QUICK = ('@check("standardise", ', '@check("standardise", seconds=0.5, ')
FILES = toy_course.FILES | {
    "course/book/ch1.md": PAGE,
    "toy_reference/ch1/test_sums.py": toy_course.CHECKS.replace(*QUICK),
    "tests/ch1/test_sums.py": HIDDEN,
    "course.toml": COURSE,
}

IN_TIME, LATE = "2026-10-01 11:00:00 UTC", "2026-10-02 10:00:00 UTC"
MISTAKE = ("(x - x.mean())", "x")
LOOP = ("spread = x.std(unbiased=False)", "while True: pass")
ALL_HEADS = ("torch.randint(0, 2, (n,), dtype=torch.int64)", "torch.ones(n, dtype=torch.int64)")
WARNS = (
    "spread = x.std(unbiased=False)",
    "import sys, warnings\n    warnings.warn('careful')\n    print('hm', file=sys.stderr)\n"
    "    spread = x.std(unbiased=False)",
)


class Handing:
    """What students do with a released notebook. solved: the source notebook's cells with ids."""

    def __init__(self, course: Path, released: Path, source: Path):
        self.submitted = course / "submitted"
        self.released = json.loads(released.read_text())
        self.answers = {
            cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"])
            for cell in json.loads(source.read_text())["cells"]
            if cell["cell_type"] == "code" and cell["metadata"].get("nbgrader", {}).get("solution")
        }

    def notebook(self, *changes: tuple[str, str]) -> dict:
        """The released notebook with the reference's answers, changed here and there."""
        notebook = copy.deepcopy(self.released)
        for cell in notebook["cells"]:
            name = id_of(cell)
            if name in self.answers:
                cell["source"] = self.answers[name]
                for old, new in changes:
                    cell["source"] = cell["source"].replace(old, new)
        return notebook

    def hand_in(self, student: str, notebook: dict | str, stamp: str = IN_TIME, name: str = "ch1.ipynb"):
        folder = self.submitted / student / "ch1"
        folder.mkdir(parents=True, exist_ok=True)
        text = notebook if isinstance(notebook, str) else json.dumps(notebook)
        (folder / name).write_text(text)
        (folder / "timestamp.txt").write_text(stamp)


def id_of(cell: dict) -> str | None:
    return cell["metadata"].get("nbgrader", {}).get("grade_id")


def code(source: str, **metadata) -> dict:
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": metadata,
        "outputs": [],
        "source": source,
    }


def text(source: str, **metadata) -> dict:
    return {"cell_type": "markdown", "metadata": metadata, "source": source}


def hostile(notebook: dict, course: Path) -> dict:
    """It wants 100 points for nothing, and whatever else it can get."""
    reach = "\n".join(
        f"try: open({str(course / name)!r}, 'w').write('x')\nexcept Exception: pass"
        for name in ("gradebook.db", "nbgrader_config.py", "source/ch1/ch1.ipynb", "judged/round.json")
    )
    forged = {"output_type": "execute_result", "metadata": {}, "execution_count": 1}
    for cell in notebook["cells"]:
        mark = cell["metadata"].get("nbgrader", {})
        if mark.get("grade_id", "").startswith("check-"):
            cell["outputs"] = [forged | {"data": {"text/plain": str(mark["points"])}}]
            cell["source"] = f"print('score:', {mark['points']})\n{mark['points']}"
            mark["points"] = 1000
        if mark.get("grade_id") == "check-coin":
            mark["grade_id"] = "../../coin"
        if mark.get("grade_id") == "check-Mixer":
            cell["metadata"]["nbgrader"] = ["no", "table"]
        if mark.get("solution") and cell["cell_type"] == "code":
            cell["source"] = f"def {mark['grade_id']}(*_):\n    {reach.replace(chr(10), chr(10) + '    ')}\n"
    script = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)> [x](javascript:alert(1))"
    notebook["cells"] += [
        code(f"import os\nSTATE = [os.getpid()]\n{reach}\ndef at_import():\n    return STATE"),
        code("%%bash\ntouch taken"),
        text(script),
        text(
            "mine", nbgrader={"grade_id": "answer-why-spread", "grade": True, "solution": True, "points": 99}
        ),
        {"cell_type": "raw", "metadata": {}, "source": script},
    ]
    notebook["metadata"] = {"kernelspec": {"name": "bash", "display_name": "x", "language": "python"}}
    return notebook
