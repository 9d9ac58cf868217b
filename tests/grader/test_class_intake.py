"""A class's work from the systems that it is handed in to: whose it is, when it came, and what is asked."""

import datetime
import doctest
import os
import shutil
import zipfile

import pytest

from grader import course_file, feedback, layouts
from grader import gradescope_export as export_file
from grader import roster as roster_file
from grader.class_intake import UNMATCHED, downloads_in, take_in_class
from grader.errors import GraderError
from grader.layouts import nbgrader_time
from grader.roster import Roster, read_roster, users_of
from tests.grader.downloads import (
    canvas_gradebook,
    canvas_name,
    clone,
    gradescope_export,
    moodle_folder,
    moodle_worksheet,
)
from tests.grader.handed_in import CODE, notebook, tar_bytes, write, zip_bytes

MODULES = {"ch3": "attention", "ch4": "block"}
OTHER = "def causal_mask(size):\n    return -size\n"
BLOCK = "class Block:\n    pass\n"
UTC = datetime.UTC
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def download(tmp_path, files, packed="zip"):
    """A download as it came, or unpacked."""
    if packed == "folder":
        return write(tmp_path / "download", files)
    (tmp_path / "download.zip").write_bytes(zip_bytes(files))
    return tmp_path / "download.zip"


def roster(tmp_path, text: str) -> Roster:
    path = tmp_path / "roster.csv"
    path.write_text(text)
    return read_roster(path)


def sources(taken) -> dict[str, dict[str, str]]:
    assert "at fault" not in str([one.problems for one in taken.submissions])
    return {
        one.student: {chapter: module.source for chapter, module in one.modules.items()}
        for one in taken.submissions
    }


both = pytest.mark.parametrize("packed", ["zip", "folder"])


# ---- Canvas ----


@both
def test_canvas(tmp_path, packed):
    files = {
        canvas_name("Doe, Jane", 12345, 67890, "attention.py", late=True): CODE,
        canvas_name("Doe, Jane", 12345, 67891, "block-2.py", late=True): BLOCK,
        canvas_name("Ŝmîth, Bob", 12346, 67892, "my-gpt-1.zip"): zip_bytes(
            {"my-gpt/exercises/ch3/attention.py": OTHER}
        ),
        canvas_name("Liddell, Al_ice", 12347, 67893, "ch3-10.ipynb"): notebook(CODE),
        canvas_name("Writer, W", 12348, 1, "").replace("_1_", "_text.html"): "<p>see my mail</p>",
    }
    assert "doejane_LATE_12345_67891_block-2.py" in files and "writerw_12348_text.html" in files
    taken = take_in_class(download(tmp_path, files, packed), MODULES)
    assert taken.system == "canvas" and taken.questions == []
    assert sources(taken) == {
        "doejane_12345": {"ch3": CODE, "ch4": BLOCK},
        "ŝmîthbob_12346": {"ch3": OTHER},
        "liddellal_ice_12347": {"ch3": CODE},
        "writerw_12348": {},
    }
    jane = next(one for one in taken.submissions if one.student.startswith("doe"))
    assert jane.ids == {"canvas_id": "12345"} and jane.marked and not jane.times
    assert jane.modules["ch4"].name == "block-2.py"
    assert [one.marked for one in taken.submissions].count(True) == 1
    writer = taken.submissions[-2]
    assert writer.problems == ("writerw_12348_text.html is a text, not a file",)


def test_canvas_files_of_a_chapter_alone_may_have_any_name(tmp_path):
    files = {
        canvas_name("Doe, Jane", 1, 2, "my answer.py"): CODE,
        canvas_name("Roe, Rob", 3, 4, "a.py"): CODE,
        canvas_name("Roe, Rob", 3, 5, "b.py"): OTHER,
    }
    taken = take_in_class(download(tmp_path, files), {"ch3": "attention"})
    assert sources(taken) == {"doejane_1": {"ch3": CODE}, "roerob_3": {}}
    assert "roerob_3 holds nothing that is looked for" in taken.submissions[1].problems[0]


def test_canvas_two_files_of_a_chapter_are_a_question(tmp_path):
    files = {
        canvas_name("Doe, Jane", 1, 2, "attention.py"): CODE,
        canvas_name("Doe, Jane", 1, 3, "attention-1.py"): OTHER,
        canvas_name("Roe, Rob", 4, 5, "attention.py"): CODE,
        canvas_name("Roe, Rob", 4, 6, "attention-1.py"): CODE,
    }
    jane, rob = take_in_class(download(tmp_path, files), MODULES).submissions
    assert jane.modules["ch3"].problem == (
        "attention-1.py and attention.py are all there, and not the same: keep the one that counts"
    )
    assert rob.modules["ch3"].source == CODE


def test_canvas_anonymous_and_two_of_one_name(tmp_path):
    files = {
        canvas_name("", "anon_Ab3dE", 5, "attention.py"): CODE,
        canvas_name("Doe, Jane", 1, 2, "attention.py"): CODE,
        canvas_name("Doe, Jane", 9, 3, "attention.py"): OTHER,
    }
    taken = take_in_class(download(tmp_path, files), MODULES)
    assert sources(taken) == {
        "anon_Ab3dE": {"ch3": CODE},
        "doejane_1": {"ch3": CODE},
        "doejane_9": {"ch3": OTHER},
    }
    assert taken.submissions[0].ids == {} and taken.questions == []


def test_canvas_a_name_that_poses_as_another_students_id(tmp_path):
    """A student may choose a name that ends with another's id, or a file's name that looks like one."""
    honest = canvas_name("Doe, Jane", 12345, 1, "attention.py")
    posing = canvas_name("x_12345", 777, 888, "attention.py")
    assert posing == "x_12345_777_888_attention.py"
    numbered = canvas_name("Roe, Rob", 4, 5, "01_02_attention.zip")
    files = {honest: CODE, posing: OTHER, numbered: zip_bytes({"attention.py": BLOCK})}
    people = roster(tmp_path, "student,canvas_id\njane,12345\nrob,4\nmallory,777\n")
    for known in (None, people):
        taken = take_in_class(download(tmp_path, files), MODULES, roster=known)
        found = sources(taken)
        assert OTHER not in found.get("jane", found.get("doejane_12345", {})).values()
        assert any("12345" in question and "whose is it?" in question for question in taken.questions)
        assert {"ch3": OTHER} in found.values()  # graded all the same, under no student's name
        assert {"ch3": BLOCK} in found.values()
        assert not any("mallory" in name for name in found)
    assert found["rob"] == {"ch3": BLOCK} and found["jane"] == {"ch3": CODE}


def test_canvas_with_its_gradebook_as_the_roster(tmp_path):
    students = [("Doe, Jane", 1, "jdoe"), ("Roe, Rob", 2, "rroe"), ("Absent, A", 3, "aabs")]
    (tmp_path / "grades.csv").write_bytes(canvas_gradebook(students, {"Chapter 3 (77)": "100.00"}))
    files = {canvas_name(name, user, 10 + user, "attention.py"): CODE for name, user, _ in students[:2]} | {
        canvas_name("Stranger, S", 99, 98, "attention.py"): OTHER
    }
    taken = take_in_class(download(tmp_path, files), MODULES, roster=read_roster(tmp_path / "grades.csv"))
    assert sources(taken) == {
        "jdoe": {"ch3": CODE},
        "rroe": {"ch3": CODE},
        f"strangers_99{UNMATCHED}": {"ch3": OTHER},
    }
    assert taken.absent == ["aabs"]
    assert [question.split(" is not in ")[0] for question in taken.questions] == ["strangers_99"]
    assert taken.submissions[0].ids == {
        "canvas_id": "1",
        "name": "Doe, Jane",
        "sid": "S1",
        "login": "jdoe",
    }


def test_a_download_inside_of_the_folder_that_was_given(tmp_path):
    write(
        tmp_path, {"torn.zip": "no zip", "jane.zip": zip_bytes({"attention.py": CODE}), "gradebook.csv": ""}
    )
    files = {canvas_name("Doe, Jane", 11, 901, "attention.py"): CODE}
    (tmp_path / "submissions.zip").write_bytes(zip_bytes(files))
    assert downloads_in(tmp_path) == [(tmp_path / "submissions.zip", "canvas")]
    assert downloads_in(tmp_path / "submissions.zip") == []


# ---- Moodle ----


@both
@pytest.mark.parametrize("ending", ["", "_"])
def test_moodle_with_folders(tmp_path, packed, ending):
    files = {
        f"{moodle_folder('Jane Doe', 1234567, ending=ending)}/attention.py": CODE,
        f"{moodle_folder('Zoë O’Brien-Smith', 1234568, ending=ending)}/exercises/ch3/attention.py": OTHER,
        f"{moodle_folder('Jane Doe', 1234569, ending=ending)}/my-gpt.zip": zip_bytes(
            {"my-gpt/exercises/ch3/attention.py": CODE, "my-gpt/exercises/ch4/block.py": BLOCK}
        ),
        f"{moodle_folder('Jane Doe', 1234569, 'onlinetext', ending)}/onlinetext.html": "<p>see the zip</p>",
        f"{moodle_folder('Writer', 1234570, 'onlinetext', ending)}/onlinetext.html": "<p>no file</p>",
    }
    taken = take_in_class(download(tmp_path, files, packed), MODULES)
    assert taken.system == "moodle" and taken.questions == []
    assert sources(taken) == {
        "Jane Doe_1234567": {"ch3": CODE},
        "Zoë O’Brien-Smith_1234568": {"ch3": OTHER},
        "Jane Doe_1234569": {"ch3": CODE, "ch4": BLOCK},
        "Writer_1234570": {},
    }
    assert taken.submissions[0].ids == {"name": "Jane Doe", "moodle_id": "1234567"}


@both
def test_moodle_with_names_of_files(tmp_path, packed):
    files = {
        f"{moodle_folder('Jane Doe', 1)}_attention.py": CODE,
        f"{moodle_folder('Jane Doe', 1)}_block.py": BLOCK,
        f"{moodle_folder('Bob_Roe', 2)}_x_3_assignsubmission_file_attention.py": OTHER,
    }
    taken = take_in_class(download(tmp_path, files, packed), MODULES)
    assert sources(taken) == {"Jane Doe_1": {"ch3": CODE, "ch4": BLOCK}, "Bob Roe_2": {}}


def test_moodle_names_and_ids_from_the_worksheet(tmp_path):
    (tmp_path / "worksheet.csv").write_bytes(
        moodle_worksheet([("Jane Doe", 1, "jane@x.edu"), ("Jane Doe", 2, "jd@x.edu"), ("Bob", 3, "b@x.edu")])
    )
    files = {
        f"{moodle_folder('Jane Doe', 1)}/attention.py": CODE,
        f"{moodle_folder('Jane Doe', 2)}/attention.py": OTHER,
        f"{moodle_folder('Group A', 4)}/attention.py": CODE,
    }
    taken = take_in_class(download(tmp_path, files), MODULES, roster=read_roster(tmp_path / "worksheet.csv"))
    assert sources(taken) == {
        "jane@x.edu": {"ch3": CODE},
        "jd@x.edu": {"ch3": OTHER},
        f"Group A_4{UNMATCHED}": {"ch3": CODE},
    }
    assert taken.absent == ["b@x.edu"] and "Group A_4 is not in" in taken.questions[0]


def test_two_of_one_name_are_a_question(tmp_path):
    """Moodle's ids are those of one assignment, so that a general roster has names alone."""
    people = roster(tmp_path, "student,name\njane1,Jane Doe\njane2,Jane Doe\nbob,bob  ROE\n")
    files = {
        f"{moodle_folder('Jane Doe', 1)}/attention.py": CODE,
        f"{moodle_folder('Bob Roe', 2)}/attention.py": OTHER,
    }
    taken = take_in_class(download(tmp_path, files), MODULES, roster=people)
    assert sources(taken) == {f"Jane Doe_1{UNMATCHED}": {"ch3": CODE}, "bob": {"ch3": OTHER}}
    assert taken.questions == ["2 students are called Jane Doe: whose is Jane Doe_1?"]
    one_jane = roster(tmp_path, "student,name\njane1,Jane Doe\n")
    files[f"{moodle_folder('Jane Doe', 5)}/attention.py"] = OTHER
    taken = take_in_class(download(tmp_path, files), MODULES, roster=one_jane)
    jane = next(one for one in taken.submissions if one.student == "jane1")
    assert jane.modules == {} and "are one student's by their names, and differ" in jane.problems[0]


# ---- Gradescope ----


@both
def test_gradescope(tmp_path, packed):
    files = gradescope_export(
        {
            11: (
                [("Jane Doe", "s1", "jane@x.edu")],
                "2026-10-01 21:58:23.948203000 Z",
                {"attention.py": CODE},
            ),
            12: (
                [("Bob", "", "bob@x.edu"), ("Cem", "s3", "cem@x.edu")],
                "2026-10-02 00:10:00.000000000 +02:00",
                {"ch3/attention.py": OTHER, "notes.txt": b"x"},
            ),
        }
    )
    taken = take_in_class(download(tmp_path, files, packed), MODULES)
    assert taken.system == "gradescope" and taken.questions == []
    assert sources(taken) == {
        "bob@x.edu": {"ch3": OTHER},
        "cem@x.edu": {"ch3": OTHER},
        "jane@x.edu": {"ch3": CODE},
    }
    bob, cem, jane = taken.submissions
    assert jane.times["ch3"] == datetime.datetime(2026, 10, 1, 21, 58, 23, tzinfo=UTC)
    assert bob.times == cem.times and bob.times["ch3"].astimezone(UTC).hour == 22
    assert jane.ids == {"name": "Jane Doe", "sid": "s1", "email": "jane@x.edu"}
    assert bob.ids == {"name": "Bob", "email": "bob@x.edu"}


def test_gradescope_what_does_not_fit_is_asked(tmp_path):
    more = "submission_7:\n  :submitters: []\n  :created_at: soon\n"
    more += "submission_8:\n  :submitters:\n  - :name: Eve\n"
    files = gradescope_export({}, more=more + "../../etc:\n  :submitters:\n  - :name: Mallory\n")
    top = "assignment_4711_export"
    files |= {f"{top}/submission_7/attention.py": CODE, f"{top}/submission_9/attention.py": OTHER}
    taken = take_in_class(download(tmp_path, files), MODULES)
    assert sources(taken) == {"submission_7": {"ch3": CODE}, "submission_9": {"ch3": OTHER}}
    assert all(one.times == {} for one in taken.submissions)
    asked = "\n".join(taken.questions)
    for words in (
        "submission_7: submission_metadata.yml names nobody",
        "submission_8 of Eve stands in submission_metadata.yml, and is not there",
        "../../etc of Mallory stands in",
        "submission_9 is not in submission_metadata.yml: whose is it?",
    ):
        assert words in asked


def test_gradescope_by_the_roster(tmp_path):
    people = roster(tmp_path, "student,sid,email\njd,s1,jane@x.edu\nother,s2,\n")
    files = gradescope_export(
        {
            1: ([("Jane", "s1", "changed@x.edu")], "2026-10-01 21:58:23 Z", {"attention.py": CODE}),
            2: ([("Bob", "s2", "jane@x.edu")], "2026-10-01 21:58:23 Z", {"attention.py": OTHER}),
        }
    )
    taken = take_in_class(download(tmp_path, files), MODULES, roster=people)
    assert sources(taken) == {"jd": {"ch3": CODE}, f"jane@x.edu{UNMATCHED}": {"ch3": OTHER}}
    assert taken.questions[0].startswith("jane@x.edu is jd and other in ")


# ---- nbgrader ----


@both
def test_nbgrader(tmp_path, packed):
    files = {
        "submitted/jane/ps3/ch3.ipynb": notebook(CODE),
        "submitted/jane/ps3/timestamp.txt": "2026-10-01 21:58:23.948203 UTC",
        "submitted/jane/ps4/block.py": BLOCK,
        "submitted/jane/ps4/timestamp.txt": "2026-10-08 12:00:00 America/Los_Angeles",
        "submitted/bob/ps3/attention.py": OTHER,
        "submitted/bob/ps3/timestamp.txt": "yesterday",
    }
    taken = take_in_class(download(tmp_path, files, packed), MODULES)
    assert taken.system == "nbgrader" and taken.questions == []
    assert sources(taken) == {"bob": {"ch3": OTHER}, "jane": {"ch3": CODE, "ch4": BLOCK}}
    bob, jane = taken.submissions
    assert bob.times == {}
    assert jane.times == {
        "ch3": datetime.datetime(2026, 10, 1, 21, 58, 23, tzinfo=UTC),
        "ch4": datetime.datetime(2026, 10, 8, 19, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    "text", ["", "2026-10-01 21:58:23", "2026-13-01 21:58:23 UTC", "2026-10-01 21:58:23 ../../etc/passwd"]
)
def test_no_time_without_its_zone(text):
    assert nbgrader_time(text) is None


# ---- clones ----


@needs_git
def test_clones_and_their_commits(tmp_path):
    folder = tmp_path / "clones"
    clone(folder / "ps3-jane-d", {"exercises/ch3/attention.py": CODE}, "2026-10-01T23:58:23+02:00")
    clone(folder / "ps3-bob", {"attention.py": OTHER}, "2026-10-02T10:00:00+00:00")
    write(folder / "ps3-empty", {".git/HEAD": "ref: refs/heads/main\n", "attention.py": CODE})
    taken = take_in_class(folder, MODULES)
    assert taken.system == "classroom" and taken.questions == []
    assert sources(taken) == {"bob": {"ch3": OTHER}, "empty": {"ch3": CODE}, "jane-d": {"ch3": CODE}}
    bob, empty, jane = taken.submissions
    assert jane.times["ch3"] == datetime.datetime(2026, 10, 1, 21, 58, 23, tzinfo=UTC)
    assert bob.times["ch3"] == datetime.datetime(2026, 10, 2, 10, tzinfo=UTC) and empty.times == {}
    people = roster(tmp_path, "student,github\nBob Roe,BOB\nJane Doe,jane-d\nD. D.,d\n")
    taken = take_in_class(folder, MODULES, roster=people)
    assert set(sources(taken)) == {"Bob Roe", "Jane Doe", f"empty{UNMATCHED}"}


@needs_git
def test_no_program_that_a_clone_names_is_run(tmp_path):
    folder, ran = tmp_path / "clones", tmp_path / "ran"
    for name in ("ps3-bob", "ps3-jane"):
        clone(folder / name, {"attention.py": CODE}, "2026-10-01T23:58:23+02:00")
        script = folder / name / "evil.sh"
        script.write_text(f"#!/bin/sh\ntouch {ran}\n")
        script.chmod(0o755)
        git = folder / name / ".git"
        (git / "config").write_text(
            f"[core]\n\trepositoryformatversion = 1\n\tfsmonitor = {script}\n\tpager = {script}\n"
            f"\tsshCommand = {script}\n\thooksPath = {folder / name}\n"
            f"[log]\n\tshowSignature = true\n[gpg]\n\tprogram = {script}\n"
            f"[extensions]\n\tpartialClone = origin\n"
            f'[remote "origin"]\n\turl = ext::{script}\n\tpromisor = true\n'
            f'[filter "x"]\n\tsmudge = {script}\n\tclean = {script}\n'
        )
        for hook in ("post-checkout", "reference-transaction", "post-index-change"):
            shutil.copy(script, git / "hooks" / hook) if (git / "hooks").is_dir() else None
    taken = take_in_class(folder, MODULES)
    assert [one.times["ch3"].hour for one in taken.submissions] == [21, 21]
    assert not ran.exists()


@needs_git
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("trick", ["link", "file", "outside", "head", "fifo"])
def test_a_clone_that_leads_elsewhere_has_no_time(tmp_path, trick):
    folder = tmp_path / "clones"
    real = clone(tmp_path / "real", {"attention.py": CODE}, "2026-10-01T23:58:23+02:00")
    for name in ("ps3-bob", "ps3-jane"):
        write(folder / name, {"attention.py": CODE})
        git = folder / name / ".git"
        if trick == "link":
            git.symlink_to(real / ".git")
        elif trick == "file":
            git.write_text(f"gitdir: {real / '.git'}\n")
        else:
            shutil.copytree(real / ".git", git)
        if trick == "outside":
            shutil.rmtree(git / "objects")
            (git / "objects").symlink_to(real / ".git" / "objects")
        elif trick == "head":
            (git / "HEAD").write_text("ref: refs/heads/../../../../../../etc/passwd\n")
        elif trick == "fifo":
            (git / "HEAD").unlink()
            os.mkfifo(git / "HEAD")
    taken = take_in_class(folder, MODULES, system="classroom")
    assert [one.times for one in taken.submissions] == [{}, {}]
    assert [one.modules["ch3"].source for one in taken.submissions] == [CODE, CODE]


def test_users_of_repositories():
    assert users_of(["ps3-a"], ["a"]) == {"ps3-a": "a"}
    assert users_of(["ps3-mc-ann"], ["ann", "mc-ann"]) == {}  # either way can be meant
    assert users_of(["ps3-evil-ann", "ps3-ann", "ps3-bob"], ["ann", "bob"]) == {
        "ps3-ann": "ann",
        "ps3-bob": "bob",
    }


# ---- our own ----


def test_a_class_of_hand_outs_in_one_zip(tmp_path):
    files = {
        "my submissions/jane.zip": zip_bytes({"my-gpt/exercises/ch3/attention.py": CODE}),
        "my submissions/bob.tar.gz": tar_bytes({"exercises/ch3/attention.py": OTHER}, "w:gz"),
        "my submissions/cem/ch4/block.py": BLOCK,
        "__MACOSX/my submissions/._jane.zip": b"x",
    }
    taken = take_in_class(download(tmp_path, files), MODULES)
    assert taken.system == "folder" and taken.questions == []
    assert sources(taken) == {"bob": {"ch3": OTHER}, "cem": {"ch4": BLOCK}, "jane": {"ch3": CODE}}
    people = roster(tmp_path, "student,login,submitted_at\nJane,jane,2026-10-02T08:00:00+02:00\nBob,bob,\n")
    taken = take_in_class(download(tmp_path, files), MODULES, roster=people)
    assert set(sources(taken)) == {"Bob", f"cem{UNMATCHED}", "Jane"}
    jane = taken.submissions[-1]
    assert jane.times == {"ch3": datetime.datetime(2026, 10, 2, 6, tzinfo=UTC)}


def test_one_students_folder_does_not_decide_for_the_class(tmp_path):
    files = {f"{name}/attention.py": CODE for name in ("s-ann", "s-bob", "s-cem")}
    files |= {"s-bob/.git/HEAD": "x", "s-cem/ps1/timestamp.txt": "2026-10-01 21:58:23 UTC"}
    taken = take_in_class(download(tmp_path, files, "folder"), MODULES)
    assert taken.system == "folder" and set(sources(taken)) == {"s-ann", "s-bob", "s-cem"}


@both
def test_one_students_folder_is_not_taken_for_a_systems(tmp_path, packed):
    """The only one who handed in cannot hand in the work of others."""
    metadata = "submission_1:\n  :submitters:\n  - :name: Victim\n    :email: victim@x.edu\n"
    files = {"mallory/submission_metadata.yml": metadata, "mallory/submission_1/attention.py": CODE}
    taken = take_in_class(download(tmp_path, files, packed), MODULES)
    assert taken.system == "folder" and set(sources(taken)) == {"mallory"}


def test_what_looks_like_two_systems_is_asked(tmp_path):
    files = {
        canvas_name("Doe, Jane", 1, 2, "attention.py"): CODE,
        "bob.py": CODE,
        "cem.py": CODE,
    }
    path = download(tmp_path, files, "folder")
    with pytest.raises(GraderError, match="looks like canvas and like folder: say which"):
        take_in_class(path, {"ch3": "attention"})
    taken = take_in_class(path, {"ch3": "attention"}, system="folder")
    assert set(sources(taken)) == {"bob", "cem", "doejane_1_2_attention"}
    taken = take_in_class(path, {"ch3": "attention"}, system="canvas")
    assert set(sources(taken)) == {"doejane_1"} and len(taken.questions) == 2
    with pytest.raises(GraderError, match="--from blackboard: there are"):
        take_in_class(path, MODULES, system="blackboard")


# ---- hostile downloads ----


def test_names_that_lead_out_of_a_zip(tmp_path):
    jane = canvas_name("Doe, Jane", 1, 2, "attention.py")
    link = zipfile.ZipInfo(canvas_name("Roe, Rob", 3, 4, "attention.py"))
    link.create_system, link.external_attr = 3, 0o120777 << 16
    entries = [
        (jane, CODE),
        ("../evil_5_6_attention.py", OTHER),
        ("/abs_7_8_attention.py", OTHER),
        ("a\\b_9_10_attention.py", OTHER),
        (link, "/etc/passwd"),
        (canvas_name("Twice", 11, 12, "attention.py"), CODE),
        (canvas_name("Twice", 11, 12, "attention.py"), OTHER),
        (canvas_name("Red\x1b[31m", 13, 14, "attention.py").replace("red31m", "red\x1b[31m"), CODE),
    ]
    with pytest.warns(UserWarning, match="Duplicate name"):
        (tmp_path / "download.zip").write_bytes(zip_bytes(entries))
    taken = take_in_class(tmp_path / "download.zip", MODULES, system="canvas")
    found = sources(taken)
    assert found["doejane_1"] == {"ch3": CODE} and OTHER not in str(found)
    asked = "\n".join(taken.questions)
    for words in (
        "../evil_5_6_attention.py has ..",
        "/abs_7_8_attention.py has a path from the root",
        "a\\\\b_9_10_attention.py has a backslash",
        "roerob_3_4_attention.py is not named",
        "twice_11_12_attention.py is not named",
    ):
        assert words in asked, asked
    assert all(text.isprintable() for text in [*taken.questions, *found])
    assert not list(tmp_path.parent.glob("evil*"))


def test_bombs_in_a_download(tmp_path):
    files = {
        canvas_name("Doe, Jane", 1, 2, "attention.py"): CODE,
        canvas_name("Bomb", 3, 4, "my-gpt.zip"): bytes(60 * 2**20),
        canvas_name("Inner", 5, 6, "my-gpt.zip"): zip_bytes({"attention.py": bytes(50 * 2**20)}),
        canvas_name("Large", 7, 8, "attention.py"): b"#" * (2**20 + 1),
    }
    taken = take_in_class(download(tmp_path, files), MODULES)
    assert sources(taken)["doejane_1"] == {"ch3": CODE}
    problems = {
        one.student: (*one.problems, *(m.problem for m in one.modules.values())) for one in taken.submissions
    }
    assert "my-gpt.zip unpacks to more than 200 times its size" in problems["bomb_3"][0]
    assert "unpacks to more than" in problems["inner_5"][0]
    assert "larger than 1 MiB" in problems["large_7"][0]


@pytest.mark.parametrize(
    "metadata",
    [
        b"- a\n- b\n",
        b"a: [",
        b"x: &a [*a]\n",
        b"a: " + b"[" * 2000,
        b"\xff\xfe\x00",
        b"a: &a [l]\nb: [" + b"*a," * 200_000 + b"]\n",
    ],
)
def test_metadata_that_is_none(tmp_path, metadata):
    path = download(tmp_path, {"submission_metadata.yml": metadata, "submission_1/attention.py": CODE})
    try:
        taken = take_in_class(path, MODULES)
    except GraderError as error:
        assert "submission_metadata.yml" in str(error) and "download the export again" in str(error)
    else:  # a list that holds itself is YAML, but says nothing of a submission
        assert [one.student for one in taken.submissions] == ["submission_1"] and taken.questions


def test_yaml_makes_no_objects_and_no_copies(tmp_path):
    laughs = "l0: &l0 [ha, ha]\n" + "".join(
        f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    evil = "evil: !!python/object/apply:os.system ['touch /tmp/evil-yaml']\n"
    rails = (
        "submission_2:\n  :submitters:\n  - !ruby/object:User\n    :name: Jane\n    :email: j@x.edu\n"
        "  :created_at: !ruby/object:ActiveSupport::TimeWithZone\n    utc: 2026-10-01 21:58:23.948203000 Z\n"
    )
    files = {"submission_metadata.yml": (laughs + evil + rails).encode(), "submission_2/attention.py": CODE}
    taken = take_in_class(download(tmp_path, files), MODULES)
    assert sources(taken) == {"j@x.edu": {"ch3": CODE}}
    assert taken.submissions[0].times["ch3"].hour == 21


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no zip at all", zip_bytes({"a": "b"})[:-5]])
def test_what_is_no_zip(tmp_path, data):
    (tmp_path / "download.zip").write_bytes(data)
    with pytest.raises(GraderError, match="cannot be read as a class's submissions"):
        take_in_class(tmp_path / "download.zip", MODULES)
    with pytest.raises(GraderError, match="cannot be read as a class's submissions"):
        take_in_class(tmp_path / "nothing.zip", MODULES)


@pytest.mark.parametrize("module", [course_file, feedback, export_file, layouts, roster_file])
def test_the_examples_in_the_docstrings(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


# ---- rosters ----


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "none of its columns says who it is"),
        ("student,student\na,b\n", "two columns are student"),
        ("student,email\njane,x@y\njane,z@y\n", "two rows are of the student jane"),
        ("student,email\njane,x@y\nbob,X@Y\n", "column email: two rows have X@Y"),
        ("student,submitted_at\njane,2026-10-01T23:59\n", "row 2, column submitted_at: '2026-10-01T23:59'"),
        ("student,submitted_at\njane,soon\n", "row 2, column submitted_at: 'soon' is no time"),
        ("student,name\n,Jane\n", "row 2 says nothing of who that is"),
    ],
)
def test_a_roster_that_cannot_be_meant_so(tmp_path, text, message):
    with pytest.raises(GraderError, match=message.replace("(", r"\(")):
        roster(tmp_path, text)


def test_rosters_of_github_classroom_and_of_spreadsheets(tmp_path):
    people = roster(
        tmp_path, '"identifier","github_username","github_id","name"\n"j1","Jane-D","5",""\n'
    ).people
    assert [(one.student, one.ids) for one in people] == [("j1", {"github": "Jane-D"})]
    people = roster(tmp_path, "\ufeffStudent;Canvas_ID;more\r\n'=x;12;y\r\n;;\r\n").people
    assert [(one.student, one.ids) for one in people] == [("=x", {"canvas_id": "12"})]
