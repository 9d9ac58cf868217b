"""Submissions of chapter 3, made by a seed: right, wrong, half done, hostile, in the forms students use."""

import io
import json
import random
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from contenders import CHAPTER, MODULE, ROOT, cells_of, notebook, plain_cell

from grader.course_folder import CourseFolder
from grader.misconceptions import load_misconceptions, patched_source
from grader.release import make_stub

HONEST = {"whole": 2, "one wrong turn": 4, "several wrong turns": 3, "half done": 2, "untouched": 1}
FORMS = (f"{MODULE}.py", f"{CHAPTER}/{MODULE}.py", f"exercises/{CHAPTER}/{MODULE}.py", f"{CHAPTER}.ipynb")
WRAPPED = ("folder", "folder", "zip", "tar.gz")
LITTER = "left-by-a-submission"
SLOW_EVERY = 10  # of the hostile ones, one runs into limits, which takes half a minute

# What the hostile ones do in their first exercise or when they are imported; all deserve no points.
IN_AN_EXERCISE = {
    "leaves": "os._exit(0)",
    "prints a lot": "print('x' * (4 << 20)); return x",
    "writes to all": "[os.write(fd, b'0' * 64) for fd in range(3, 64) if is_open(fd)]; return x",
    "kills its parent": "os.kill(os.getppid(), 9); return x",
    "raises markup": "raise RuntimeError('<script>alert(1)</script>\\x1b[2J')",
}
WHEN_IMPORTED = {
    "starts daemons": """
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            time.sleep(3600)
        os._exit(0)
""",
    "leaves files": f"""
for folder in ("/tmp", "/var/tmp", "/dev/shm", os.path.expanduser("~"), os.getcwd()):
    try:
        open(os.path.join(folder, "{LITTER}-" + str(os.getpid())), "w").write("x")
    except OSError:
        pass
""",
    "leaves when imported": "os._exit(0)",
    "starts threads": """
import threading
for _ in range(20):
    threading.Thread(target=time.sleep, args=(3600,)).start()
""",
}
SLOW = {
    "never ends": "while True: pass",
    "takes memory": "return torch.stack([x.new_ones(1 << 26) for _ in range(100)])",
    "is deaf": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); time.sleep(3600)",
    "recurses": "sys.setrecursionlimit(10**9); return prefix_mean_loop(x)",
}
PREPARED = """
import os, signal, sys, time

def is_open(fd):
    try:
        os.fstat(fd)
        return True
    except OSError:
        return False
"""


@dataclass(frozen=True)
class Made:
    """A submission. right: exercises that must have their points; unknown: those that may have them."""

    name: str
    kind: str
    right: frozenset[str]
    unknown: frozenset[str] = frozenset()


class Maker:
    def __init__(self, seed: int):
        self.chapter = CourseFolder(ROOT).chapter(CHAPTER)
        self.source = self.chapter.source
        self.stub = make_stub(self.source, self.chapter.module_file.name)
        self.turns = load_misconceptions(self.chapter.misconceptions_file)
        self.chance = random.Random(seed)

    # ---- modules ----

    def wrong(self, number: int) -> tuple[str, set[str]]:
        """The solution with a wrong turn in some exercises."""
        exercises = self.chance.sample(self.chapter.exercises, number)
        source = self.source
        for exercise in exercises:
            turn = self.chance.choice([turn for turn in self.turns if turn.exercise == exercise])
            source = patched_source(source, turn)
        return source, set(exercises)

    def half(self, done: int) -> str:
        """The solution of the first exercises, stubs from there on."""
        name = self.chapter.exercises[done]
        kind = "def" if f"\ndef {name}(" in self.source else "class"
        head = f"\n{kind} {name}("
        return self.source[: self.source.index(head)] + self.stub[self.stub.index(head) :]

    def hostile(self, kind: str) -> str:
        deed = WHEN_IMPORTED.get(kind)
        if deed is None:
            name = self.chapter.exercises[0]
            deed = f"\ndef {name}(x):\n    {(IN_AN_EXERCISE | SLOW)[kind]}\n"
        return f"{self.stub}{PREPARED}{deed}\n"

    # ---- a class ----

    def fill(self, folder: Path, number: int, hostile: float) -> list[Made]:
        """Fill a folder with submissions. hostile: the share of such."""
        bad = round(number * hostile)
        kinds = self.chance.choices(list(HONEST), list(HONEST.values()), k=number - bad)
        kinds += [_hostile_kind(i) for i in range(bad)]
        self.chance.shuffle(kinds)
        return [self._one(folder, f"student{i:04}", kind) for i, kind in enumerate(kinds)]

    def _one(self, folder: Path, name: str, kind: str) -> Made:
        exercises = self.chapter.exercises
        right, unknown = set(exercises), set()
        if kind == "whole":
            source = self.source
        elif kind == "untouched":
            source, right = self.stub, set()
        elif kind == "half done":
            done = self.chance.randrange(1, len(exercises))
            source, right = self.half(done), {*exercises[:done]}
        elif kind in HONEST:
            source, wrong = self.wrong(1 if kind == "one wrong turn" else self.chance.randint(2, 5))
            if "causal_mask" in wrong:  # which others use
                unknown = {*exercises[exercises.index("causal_mask") :]} - wrong
            right -= wrong | unknown
        else:
            source, right = self.hostile(kind), set()
        forms = FORMS if kind in HONEST else FORMS[:-1]
        write(folder, name, self.chance.choice(forms), source, self.chance.choice(WRAPPED))
        return Made(name, kind, frozenset(right), frozenset(unknown))


def _hostile_kind(i: int) -> str:
    if i % SLOW_EVERY == SLOW_EVERY - 1:
        return [*SLOW][i // SLOW_EVERY % len(SLOW)]
    quick = [*IN_AN_EXERCISE, *WHEN_IMPORTED]
    return quick[i % len(quick)]


def write(folder: Path, name: str, form: str, source: str, wrapped: str) -> None:
    """A module as a student hands it in."""
    if form.endswith(".ipynb"):
        cells = [plain_cell(piece, title) for title, piece in cells_of(source).items()]
        source = json.dumps(notebook(cells))
    data = source.encode()
    if wrapped == "folder":
        path = folder / name / form
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    elif wrapped == "zip":
        with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(form, data)
    else:
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo(form)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
