"""The autograder for Gradescope: built, laid out as that platform lays it out, and run."""

import json
import os
import stat
import subprocess
import sys
import zipfile

import pytest

from grader.course_file import load_course
from grader.course_folder import CourseFolder
from grader.errors import GraderError
from grader.gradescope_run import late_on_gradescope
from grader.gradescope_zip import NEEDED, build, zip_files
from tests.grader import toy_course
from tests.grader.test_grading import run

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the platform runs Linux")
HONEST = toy_course.MODULE
MISTAKE = HONEST.replace("(x - x.mean())", "x")
PINS = "".join(f"{name}==1.{n}\n" for n, name in enumerate([*NEEDED, "rich"])).replace("pyyaml", "PyYAML")


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """The zip of a toy course, once for all tests."""
    course = tmp_path_factory.mktemp("toy") / "course"
    toy_course.write_toy_course(course)
    (course / "constraints.txt").write_text(PINS)
    assert run(course, "release").returncode == 0
    done = run(course, "gradescope", "--chapter", "ch1", "--to", course.parent / "a.zip", "--seed", "7")
    assert done.returncode == 0, done.stderr
    assert "give it to nobody" in done.stdout
    return course.parent / "a.zip"


def laid_out(tmp_path, zipped, files: dict[str, str], metadata=None):
    """As Gradescope lays out its container, under another root."""
    root = tmp_path / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "zipfile", "-e", zipped, root / "source"], check=True)
    for name in ("run_autograder", "setup.sh"):
        (root / "source" / name).chmod(0o755)
    script = root / "run_autograder"
    script.write_bytes((root / "source" / "run_autograder").read_bytes())
    script.chmod(0o755)
    for name, text in files.items():
        path = root / "submission" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    known = {
        "id": 1,
        "created_at": "2026-10-02T14:22:32.365935-07:00",
        "users": [{"email": "jane@x.edu", "name": "Jane", "id": 5}],
        "previous_submissions": [],
    }
    (root / "submission_metadata.json").write_text(json.dumps(known | (metadata or {})))
    return root


def graded(root):
    done = subprocess.run(
        [str(root / "run_autograder")],
        cwd=root,
        env={
            "PATH": os.environ["PATH"],
            "AUTOGRADER_ROOT": str(root),
            "AUTOGRADER_PYTHON": sys.executable,
            "HOME": str(root),
        },
        capture_output=True,
        text=True,
    )
    results = root / "results" / "results.json"
    return done, json.loads(results.read_text()) if results.is_file() else None


def test_the_zip_is_as_the_platform_wants_it(zipped):
    with zipfile.ZipFile(zipped) as archive:
        modes = {entry.filename: entry.external_attr >> 16 for entry in archive.infolist()}
        requirements = archive.read("requirements.txt").decode()
        settings = json.loads(archive.read("round.json"))
    assert stat.S_IMODE(modes["setup.sh"]) == stat.S_IMODE(modes["run_autograder"]) == 0o755
    for name in (
        "files/course.toml",
        "files/grader/worker.py",
        "files/grader/pages/style.css",
        "files/toy_reference/ch1/sums.py",
        "files/tests/ch1/test_sums.py",
        "files/exercises/ch1/expected.safetensors",
    ):
        assert name in modes
    assert not any(part in name for name in modes for part in (".git", "__pycache__", "constraints"))
    assert "torch==1.0\n" in requirements and "PyYAML==1.6\n" in requirements and "rich" not in requirements
    assert settings == {"master": "7", "chapters": ["ch1"]}


def test_from_a_submission_to_results(tmp_path, zipped):
    root = laid_out(tmp_path, zipped, {"sums.py": MISTAKE, "notes.txt": "x"})
    done, results = graded(root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert results["score"] == 80
    shown = {test["name"]: test for test in results["tests"] if test["visibility"] == "visible"}
    assert {name: (test["score"], test["max_score"], test["status"]) for name, test in shown.items()} == {
        "ch1: standardise": (0, 20, "failed"),
        "ch1: Mixer": (50, 50, "passed"),
        "ch1: coin": (30, 30, "passed"),
    }
    assert "The mean stays in." in shown["ch1: standardise"]["output"]
    hidden = [test for test in results["tests"] if test["visibility"] == "hidden"]
    assert len(hidden) == 1 and hidden[0]["max_score"] == 0
    assert "80 of 100; " in done.stdout  # and the tier, for instructors
    if os.geteuid() == 0:
        assert stat.S_IMODE((root / "source" / "round.json").stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((root / "source" / "files" / "tests").stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((root / "submission").stat().st_mode) & 0o077 == 0


def test_full_points_and_what_is_not_there(tmp_path, zipped):
    done, results = graded(laid_out(tmp_path / "a", zipped, {"my-gpt/exercises/ch1/sums.py": HONEST}))
    assert results["score"] == 100 and results["output"] == "", done.stdout + done.stderr
    done, results = graded(laid_out(tmp_path / "b", zipped, {"summs.py": HONEST}))
    assert done.returncode == 0 and results["score"] == 0
    assert "sums.py or ch1.ipynb" in results["output"]


def test_a_fault_of_the_graders_costs_nobody_points(tmp_path, zipped):
    root = laid_out(tmp_path, zipped, {"sums.py": HONEST})
    hidden = root / "source" / "files" / "tests" / "ch1" / "test_sums.py"
    hidden.write_text(hidden.read_text() + "\nraise RuntimeError('broken')\n")
    done, results = graded(root)
    assert done.returncode == 1 and results is None and "broken" in done.stdout


def test_a_submission_does_not_write_its_own_results(tmp_path, zipped):
    evil = f"""
import json, os
for folder in ({str(tmp_path / "autograder" / "results")!r}, "/autograder/results"):
    try:
        os.makedirs(folder, exist_ok=True)
        json.dump({{"score": 100}}, open(os.path.join(folder, "results.json"), "w"))
    except OSError:
        pass
os._exit(0)
"""
    _, results = graded(laid_out(tmp_path, zipped, {"sums.py": evil}))
    assert results["score"] == 0 and len(results["tests"]) >= 3


def test_late_days_and_extensions(tmp_path):
    path = tmp_path / "course.toml"
    deadline = 'module = "sums"\ndeadline = 2026-10-01T23:59:00+02:00\n'
    late = "\n[late]\npercent_per_day = 10\ndays = 5\n"
    path.write_text(toy_course.COURSE.replace('module = "sums"\n', deadline) + late)
    course = load_course(path)

    def factor(created, *due):
        people = [{"assignment": {"due_date": one}} for one in due]
        found = late_on_gradescope(course, "ch1", {"created_at": created, "users": people})
        return found and found["factor"]

    assert factor("2026-10-01T10:00:00.000000-07:00") == 1
    assert factor("2026-10-02T14:22:32.365935-07:00") == 0.9
    assert factor("2026-10-02T14:22:32.365935-07:00", "2026-10-01T23:00:00.000000-07:00") == 0.9
    assert factor("2026-10-02T14:22:32.365935-07:00", None, "2026-10-03T23:00:00.000000-07:00") == 1
    assert factor(None) is None and factor("2026-10-02") is None


def test_what_cannot_be_built(tmp_path):
    course = tmp_path / "course"
    toy_course.write_toy_course(course)
    folder = CourseFolder(course)
    with pytest.raises(GraderError, match=r"constraints\.txt has no version of numpy, "):
        zip_files(folder, ("ch1",), "7")
    (course / "constraints.txt").write_text(PINS)
    (tmp_path / "a.zip").write_text("")
    with pytest.raises(GraderError, match="is there already"):
        build(folder, ("ch1",), tmp_path / "a.zip", "7", False)
    with pytest.raises(GraderError, match="there is no chapter ch7"):
        build(folder, ("ch7",), tmp_path / "b.zip", "7", False)


def test_what_is_needed_is_what_is_imported():
    """All packages that judging imports, but for what comes with them."""
    look = (
        "import sys, grader.gradescope_run\n"
        "found = {getattr(m, '__file__', None) or '' for m in list(sys.modules.values())}\n"
        "print({f.split('site-packages/')[1].split('/')[0] for f in found if 'site-packages/' in f})"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    imported = eval(done.stdout)
    comes_along = {"torchgen", "tqdm", "typing_extensions.py", "markupsafe", "_distutils_hack", "functorch"}
    names = {"yaml": "pyyaml"}
    assert {names.get(name, name) for name in imported - comes_along} <= set(NEEDED)


def test_set_up(tmp_path, zipped):
    """The set-up script, with a Python and a pip that only write down what they are asked."""
    root = laid_out(tmp_path, zipped, {})
    shims, log = tmp_path / "shims", tmp_path / "log"
    shims.mkdir()
    pip = f'#!/bin/bash\necho "$@" >> {log}\n[[ "$*" != *download.pytorch.org* ]]\n'
    python = (
        "#!/bin/bash\n"
        f'if [ "$1" = -c ]; then exec {sys.executable} "$@"; fi\n'
        f'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp {shims}/pip "$3/bin/python"; fi\n'
    )
    for name, text in (("pip", pip), ("python3", python)):
        (shims / name).write_text(text)
        (shims / name).chmod(0o755)
    done = subprocess.run(
        ["bash", str(root / "source" / "setup.sh")],
        env={"PATH": f"{shims}:/usr/bin:/bin", "AUTOGRADER_ROOT": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "the build from PyPI will do" in done.stdout
    asked = log.read_text().splitlines()
    assert len(asked) == 2 and asked[0].endswith("torch==1.0")
    assert asked[1].endswith(f"--requirement {root}/source/requirements.txt")
