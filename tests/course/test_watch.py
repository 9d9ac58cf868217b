"""`course watch` as a process of its own, as a student runs it: with fork, and without as on macOS."""

import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from course.checker import CAN_FORK
from tests.course import toy_course

GIVE_UP_SECONDS = 60
WATCH = """
import sys
from pathlib import Path
from course.watch import watch
from course.workplace import Workplace
watch(Workplace(Path.cwd().resolve()), sys.argv[2] or None, fork=sys.argv[1] == "fork")
"""


class Watching:
    def __init__(self, folder: Path, fork: bool, chapter: str = ""):
        self.folder = folder
        self.module = folder / "exercises/ch3/attention.py"
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", WATCH, "fork" if fork else "no fork", chapter],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def save(self, replace: str, with_: str) -> None:
        source = self.module.read_text()
        assert source.count(replace) == 1, replace
        self.module.write_text(source.replace(replace, with_))

    def until(self, text: str) -> str:
        """Everything printed up to the line that holds a text."""
        seen = []
        while not seen or text not in seen[-1]:
            try:
                seen.append(self.lines.get(timeout=GIVE_UP_SECONDS))
            except queue.Empty:
                raise AssertionError(f"no {text!r} in:\n{''.join(seen)}") from None
            assert seen[-1] is not None, f"it ended without {text!r}:\n{''.join(seen[:-1])}"
        return "".join(seen)


WITH_FORK = pytest.param(True, id="fork", marks=pytest.mark.skipif(not CAN_FORK, reason="no safe fork here"))


@pytest.fixture(params=[WITH_FORK, pytest.param(False, id="no fork")])
def watching(request, my_gpt):
    made = Watching(my_gpt, request.param)
    yield made
    made.process.kill()
    made.process.wait()


@pytest.fixture
def watch_chapter(my_gpt):
    """watch_chapter("ch4") is `course watch ch4` in a folder with a third chapter, ch5, like ch4."""
    shutil.copytree(my_gpt / "exercises/ch4", my_gpt / "exercises/ch5")
    (my_gpt / "exercises/ch5/block.py").rename(my_gpt / "exercises/ch5/tower.py")
    with open(my_gpt / "course.toml", "a") as file:
        file.write('\n[chapters.ch5]\ntitle = "The tower"\nmodule = "tower"\n')
        file.write("\n[chapters.ch5.points]\ndouble_mask = 100\n")
    made = []

    def start(chapter: str) -> Watching:
        made.append(Watching(my_gpt, CAN_FORK, chapter))
        return made[0]

    yield start
    made[0].process.kill()
    made[0].process.wait()


def processes_in(folder: Path) -> list[str]:
    """Other processes that work in a folder, where the system shows them."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")) == folder and process.name != str(os.getpid()):
                found.append(process.name)
        except OSError:
            continue
    return found


def test_an_evening(watching, request):
    watching.until("causal_mask: not started.")
    watching.until("ch3: 0 of 100 points.")

    # A mistake, told with its name; what the code printed is shown.
    toy_course.solve(watching.folder, "causal_mask")
    watching.until("Passed, 20 points: causal_mask.")
    watching.until("Attention: not started.")
    watching.until("ch3: 20 of 100 points.")
    watching.save("    return torch.full", "    print('size', size)\n    return torch.full")
    watching.until("ch3: 20 of 100 points.")
    watching.save("triu(1)", "triu(0)")
    said = watching.until("ch3: 0 of 100 points.")
    assert "mask-hides-itself" in said and "It printed:\n\n  size 3\n" in said
    assert "No longer passing: causal_mask." in said
    watching.save("triu(0)", "triu(1)")  # of the same length, and in the same second
    watching.until("ch3: 20 of 100 points.")

    watching.save("def count_up(n):", "def count_up(n:")
    said = watching.until("Next: mend that first.")
    assert "SyntaxError" in said and "exercises/ch3/attention.py:" in said and "No longer passing" not in said
    watching.save("def count_up(n:", "def count_up(n):")
    watching.until("ch3: 20 of 100 points.")

    # A death and an endless loop do not end the watching, and the next save is answered.
    solution = "    return list(range(n))"
    toy_course.solve(watching.folder, "count_up")
    watching.until("ch3: 30 of 100 points.")
    watching.save(solution, "    import os; os._exit(7)")
    watching.until("count_up: your code ended Python with exit status 7 in the check counts.")
    watching.save("import os; os._exit(7)", "open('looping', 'w'); [0 for _ in iter(int, 1)]")
    end = time.monotonic() + GIVE_UP_SECONDS
    while not (watching.folder / "looping").exists() and time.monotonic() < end:
        time.sleep(0.01)
    watching.save("    open('looping', 'w'); [0 for _ in iter(int, 1)]", solution)
    watching.until("ch3: 30 of 100 points.")

    if request.node.callspec.id == "fork":
        toy_course.solve(watching.folder, "Attention")
        watching.until("ch3: 100 of 100 points: Attention has passed.")
        watching.until("double_mask: not started.")
        toy_course.solve_block(watching.folder)
        watching.until("Every chapter has passed.")
    else:
        watching.process.send_signal(signal.SIGINT)
        watching.until("Stopped watching.")
    assert watching.process.wait(GIVE_UP_SECONDS) == 0
    while processes_in(watching.folder) and time.monotonic() < end:
        time.sleep(0.01)
    assert processes_in(watching.folder) == []


def test_after_a_chapter_the_first_open_one(watch_chapter):
    watching = watch_chapter("")
    watching.until("causal_mask: not started.")
    watching.until("ch3: 0 of 100 points.")
    toy_course.solve(watching.folder, "causal_mask")
    watching.until("ch3: 20 of 100 points.")
    toy_course.solve_block(watching.folder)  # out of order: what is saved is looked at
    watching.until("ch4: 100 of 100 points: The block has passed.")
    said = watching.until(" of 100 points. Watching")
    assert "Attention: not started." in said and "ch3: 20 of 100 points" in said and "tower" not in said


def test_a_chapter_asked_for_is_not_left(watch_chapter):
    watching = watch_chapter("CH4")
    watching.until("double_mask: not started.")
    watching.until("ch4: 0 of 100 points.")
    toy_course.solve_block(watching.folder)
    watching.until("Blocked by causal_mask, which is not written yet, in exercises/ch3/attention.py.")
    watching.until("Next: write causal_mask; `course watch ch3` checks it.")
    watching.until("ch4: 0 of 100 points.")
    toy_course.solve(watching.folder, "causal_mask")  # a save elsewhere, which ch4 depends on
    said = watching.until("Ctrl-C ends.")
    assert "ch4: 100 of 100 points: The block has passed." in said
    assert "Next: Ctrl-C, then `course watch` for ch3 Attention." in said
    watching.process.send_signal(signal.SIGINT)
    watching.until("Stopped watching.")


def test_a_fault_of_the_course_does_not_hide_the_students(my_gpt, watch_chapter):
    checks = my_gpt / "exercises/ch3/test_attention.py"
    function = "def new(attention):\n    'Says.'\n    return attention.causal_mask(2)\n"
    checks.write_text(f"{checks.read_text()}\n\n@check('causal_mask')\n{function}")  # not recorded
    toy_course.solve(my_gpt, "causal_mask", "Attention", "count_up")
    watching = watch_chapter("ch3")
    watching.until("This is not your fault")
    watching.until("ch3: 80 of 100 points.")
    watching.save("list(range(n))", "list(range(n + 1))")
    said = watching.until("ch3: 70 of 100 points.")
    assert "count_up: Counting starts at 0" in said and "not your fault" not in said


def test_what_some_checks_are_worth(watching):
    watching.until("ch3: 0 of 100 points.")
    toy_course.solve(watching.folder, "causal_mask", "count_up", "Attention")
    watching.until("Attention has passed.")
    watching.until("ch4: 0 of 100 points.")
    source = watching.module.read_text().replace(
        "        super().__init__()", "        super().__init__()\n        MADE.append(self)"
    )
    source = source.replace("weights @ values, weights", "weights @ values, weights * len(MADE)")
    watching.module.write_text("MADE = []\n" + source)
    said = watching.until("ch3: 30 of 100 points.")
    assert "Attention: 1 of its 2 checks passed; its 70 points need all of them." in said


def test_an_unknown_chapter_is_refused(my_gpt, refused):
    assert "there is no chapter 'ch9'; there are ch3, ch4" in refused("watch", "ch9")
    assert "there is no chapter 'double_mask'; double_mask is in ch4" in refused("watch", "double_mask")
