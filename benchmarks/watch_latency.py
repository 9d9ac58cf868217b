"""How long `course watch` takes from saving a file to the verdict, beside the time of `import torch`.

    python benchmarks/watch_latency.py [--saves 20] [--no-fork]

The folder is one of `course start`, with chapter 3 taken from the solutions but for MultiHeadAttention.
CausalAttention is saved in turn with a mistake, so that the verdict names it, and without, so that every
other exercise is looked at too before the verdict is that MultiHeadAttention is next. The clock stops at the
verdict's first line on a pipe. Saves and imports take turns, so that a busy machine slows both.
"""

import argparse
import os
import platform
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from grader.release import make_stub

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
SCALED = "/ keys.shape[-1] ** 0.5"
SECONDS = 120  # by when any verdict has to be there
WATCH = """
import sys
from pathlib import Path
from course.watch import watch
from course.workplace import Workplace
watch(Workplace(Path.cwd().resolve()), "ch3", fork=sys.argv[1] == "fork")
"""


def versions() -> dict[str, str]:
    """What to save, by the beginning of the verdict's first line."""
    solution = (ROOT / "solutions/ch3/attention.py").read_text(encoding="utf-8")
    stub = make_stub(solution, "attention.py")
    last = "class MultiHeadAttention"
    right = solution[: solution.index(last)] + stub[stub.index(last) :]
    at = right.rindex(SCALED)  # the last one is CausalAttention's
    wrong = right[:at] + right[at + len(SCALED) :]
    return {"CausalAttention: ": wrong, "MultiHeadAttention: ": right}


class Watching:
    """A `course watch` whose lines are read as they come."""

    def __init__(self, folder: Path, fork: bool):
        command = [sys.executable, "-c", WATCH, "fork" if fork else "no fork"]
        self.process = subprocess.Popen(
            command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.put(line)

    def wait_for(self, beginning: str) -> None:
        end = time.monotonic() + SECONDS
        while not self.lines.get(timeout=max(0.1, end - time.monotonic())).startswith(beginning):
            pass


def import_seconds() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], env=ENVIRONMENT, check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", type=int, default=20, help="how many saves to time")
    parser.add_argument("--no-fork", action="store_true", help="the way of macOS and Windows")
    args = parser.parse_args()

    texts = versions()
    taken: dict[str, list[float]] = {verdict: [] for verdict in texts}
    imports = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "my-gpt"
        subprocess.run(
            [sys.executable, "-m", "course.cli", "start", str(folder)], check=True, stdout=subprocess.DEVNULL
        )
        module = folder / "exercises/ch3/attention.py"
        module.write_text(texts["MultiHeadAttention: "], encoding="utf-8")
        watching = Watching(folder, fork=not args.no_fork)
        try:
            watching.wait_for("ch3: ")
            for number in range(args.saves):
                verdict = list(texts)[number % 2]
                start = time.perf_counter()
                module.write_text(texts[verdict], encoding="utf-8")
                watching.wait_for(verdict)
                taken[verdict].append(time.perf_counter() - start)
                watching.wait_for("ch3: ")  # the points, so that nothing runs beside the import
                if number % 4 == 0:
                    imports.append(import_seconds())
        finally:
            watching.process.terminate()
            watching.process.wait()

    everything = [seconds for seconds in taken.values() for seconds in seconds]
    median, torch = statistics.median(everything), statistics.median(imports)
    print(f"save to verdict, median (least, most) of {args.saves}, {'no fork' if args.no_fork else 'fork'}:")
    for what, seconds in {
        "a mistake is found": taken["CausalAttention: "],
        "it passes, the next one comes": taken["MultiHeadAttention: "],
        "both": everything,
    }.items():
        print(f"  {what:<30} {statistics.median(seconds):6.3f} s  ({min(seconds):.3f}, {max(seconds):.3f})")
    print(f"  {'import torch':<30} {torch:6.3f} s  ({min(imports):.3f}, {max(imports):.3f})")
    print(f"  {'ratio':<30} {median / torch:6.2f}")
    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")


if __name__ == "__main__":
    main()
