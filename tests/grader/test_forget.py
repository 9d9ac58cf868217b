"""A student is forgotten: nothing of them is left in RESULTS, and what cannot be reached is said."""

import io
import json

import pytest

from grader.class_page import class_page
from grader.cli import app
from grader.course_file import load_course
from grader.errors import GraderError
from grader.feedback import feedback_page
from grader.forget import forget, forget_chapter
from grader.hashes import round_hash
from grader.pseudonyms import pseudonym
from grader.results import Results
from tests.grader.report_samples import COURSE, half_done, report


@pytest.fixture
def course(tmp_path):
    (tmp_path / "course.toml").write_text(COURSE)
    return load_course(tmp_path / "course.toml")


def a_class(tmp_path, course, pseudonyms=False) -> Results:
    results = Results(tmp_path / "results")
    key = round_hash(results.round("7"))
    results.log("begun", pseudonyms=pseudonyms)
    for student in ("ann", "ann-b", "Zoë Ŝ.", "bob"):
        ids = {"name": f"Name of {student}", "email": f"{student[:3]}{len(student)}@x.edu", "sid": "12"}
        one = half_done(course, student, ids=ids, hashes={"round": key})
        results.write_report(one)
        results.write_report(report(student, "ch1", course=course, hashes={"round": key}))
        page = feedback_page(student, [one], course, {})
        (results.folder(student) / "feedback.html").write_text(page)
        logged = pseudonym(student, key) if pseudonyms else student
        results.log("graded", student=logged, chapter="ch3", points=20)
        results.log("grader fault", student=logged, chapter="ch3", fault=f"the judge of {logged} failed")
    (results.path / "overrides.csv").write_bytes(
        '\ufeffstudent;chapter;exercise;points;reason\r\nann;ch3;Attention;7,5;"she; asked"\r\n\r\n'
        "bob;ch3;Attention;7;\r\nann;ch1;total;1;\r\n".encode()
    )
    results.write_questions(["ann, bob: whose?", "Name of ann_12 is not in r.csv", "ann-b is late"])
    results.write_grades(course, course.chapters)
    (results.path / "class.html").write_text(class_page(results.reports(), course, pseudonyms))
    return results


def everything(results: Results) -> str:
    texts = [
        str(path) + path.read_text(errors="replace") for path in results.path.rglob("*") if path.is_file()
    ]
    return "\n".join(texts)


@pytest.mark.parametrize("pseudonyms", [False, True])
def test_nothing_is_left(tmp_path, course, capsys, pseudonyms):
    results = a_class(tmp_path, course, pseudonyms)
    key = round_hash(results.round())
    forget("ann", results, course)
    left = everything(results).replace("ann-b", "").replace("ann5", "").replace(str(tmp_path), "")
    assert "ann" not in left and pseudonym("ann", key) not in left and "@x.edu" in left
    assert results.students() == ["Zoë Ŝ.", "ann-b", "bob"]
    overrides = (results.path / "overrides.csv").read_bytes()
    assert overrides == (
        b"\xef\xbb\xbfstudent;chapter;exercise;points;reason\r\n\r\nbob;ch3;Attention;7;\r\n"
    )
    log = [json.loads(line) for line in (results.path / "log.jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in log] == ["begun", *["graded", "grader fault"] * 3, "forgotten"]
    questions = (results.path / "questions.txt").read_text()
    assert questions == "(forgotten), bob: whose?\n(forgotten) is not in r.csv\nann-b is late\n"
    page = (results.path / "class.html").read_text()
    assert ("3 students, under pseudonyms" in page) == pseudonyms and "3 students" in page
    told = capsys.readouterr().out
    assert (
        "2 lines of" in told and "overrides.csv" in told and "backups" in told and "STILL NAMED" not in told
    )
    with pytest.raises(GraderError, match="has nothing of 'ann'; it has"):
        forget("ann", results, course)


def test_a_name_beyond_ascii_and_what_is_still_named(tmp_path, course, capsys):
    results = a_class(tmp_path, course)
    (results.path / "similarity.html").write_text("<p>Zoë Ŝ. and bob</p>")
    forget("Zoë Ŝ.", results, course)
    assert f"STILL NAMED in {results.path / 'similarity.html'}" in capsys.readouterr().out
    assert "Zo" not in (results.path / "log.jsonl").read_text()


def test_a_killed_run_is_finished_by_the_next(tmp_path, course, monkeypatch):
    results = a_class(tmp_path, course)
    with monkeypatch.context() as patch:
        patch.setattr("grader.forget._out_of_log", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            forget("bob", results, course)
    assert "bob" in (results.path / "log.jsonl").read_text()
    forget("bob", results, course)
    assert "bob" not in everything(results)


# ---- a chapter, graded by mistake ----


def asked(answer: bool, said: list[str]):
    return lambda what: said.append(what) or answer


def test_a_chapter_is_taken_back_of_all(tmp_path, course, capsys):
    results = a_class(tmp_path, course)
    results.write_report(report("eve", course=course))  # ch3 is all that there is of her
    (results.folder("eve") / "feedback.html").write_text("ch3, Attention")
    before = everything(results)
    said = []
    with pytest.raises(GraderError, match="nothing is deleted"):
        forget_chapter("ch3", results, course, None, asked(False, said))
    assert "delete ch3 of 5 students" in said[0] and "2 lines of overrides.csv" in said[0]
    assert everything(results) == before
    (results.path / "overrides.csv").write_text(
        "student,chapter,exercise,points,reason\r\nann,ch3,Attention,7,she\r\nbob,ch1,total,1,\r\n"
    )
    forget_chapter("ch3", results, course, None, asked(True, said))
    assert "deleted: ch3 of 5 students, with 1 line" in capsys.readouterr().out
    assert {one["chapter"] for one in results.reports()} == {"ch1"} and not results.folder("eve").exists()
    grades = (results.path / "grades.csv").read_text()
    assert "ch1" in grades and "ch3" not in grades and "Attention" not in grades
    left = (results.path / "overrides.csv").read_bytes()
    assert left == b"student,chapter,exercise,points,reason\r\nbob,ch1,total,1,\r\n"
    for name in ("class.html", "ann/feedback.html"):
        page = (results.path / name).read_text()
        assert "Sums" in page and "Attention" not in page
    log = [json.loads(line) for line in (results.path / "log.jsonl").read_text().splitlines()]
    assert log[-1] | {"time": ""} == {"time": "", "event": "taken back", "chapter": "ch3", "students": 5}
    with pytest.raises(GraderError, match="has no ch3; it has ch1"):
        forget_chapter("ch3", results, course, None, asked(True, said))
    with pytest.raises(GraderError, match="ch9"):
        forget_chapter("ch9", results, course, None, asked(True, said))


def test_a_chapter_is_taken_back_of_one_student(tmp_path, course):
    results = a_class(tmp_path, course)
    (results.path / "overrides.csv").write_text("student,chapter,exercise,points\nann,ch3,Attention,7\n")
    forget_chapter("ch3", results, course, "bob", asked(True, []))
    assert results.report("bob", "ch3") is None and results.report("bob", "ch1") is not None
    assert results.report("ann", "ch3") is not None and len(results.overrides()) == 1
    with pytest.raises(GraderError, match="has no ch3 of bob"):
        forget_chapter("ch3", results, course, "bob", asked(True, []))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["results", "ann"], "the student comes first: grader forget ann results"),
        (["ann"], "say whose, and then where: grader forget STUDENT RESULTS"),
        (["ann", "none"], "there is no folder none: name the one"),
        (["results", "--chapter", "ch3"], "delete ch3 of 4 students from results"),
    ],
)
def test_what_is_asked_in_vain(tmp_path, course, monkeypatch, arguments, said):
    results = a_class(tmp_path, course)
    (results.path / "overrides.csv").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # nobody can be asked
    with pytest.raises(GraderError) as error:
        app(["forget", *arguments], standalone_mode=False)
    assert said in " ".join(str(error.value).split())
    app(["forget", "results", "--chapter", "ch3", "--yes"], standalone_mode=False)
    assert {one["chapter"] for one in results.reports()} == {"ch1"}
