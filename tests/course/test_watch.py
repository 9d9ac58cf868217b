"""`course watch` as a process of its own, as a student runs it: with fork, and without as on macOS."""

import os
import queue
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
watch(Workplace(Path.cwd().resolve()), None, fork=sys.argv[1] == "fork")
"""


class Watching:
    def __init__(self, folder: Path, fork: bool):
        self.folder = folder
        self.module = folder / "exercises/ch3/attention.py"
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", WATCH, "fork" if fork else "no fork"],
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


def test_an_unknown_chapter_is_refused(my_gpt, refused):
    assert "there is no chapter 'ch9'; there are ch3, ch4" in refused("watch", "ch9")
