"""The book's pages: their exercises are the course's, their pieces the reader's. test_site runs the cells."""

import re
import sys
from pathlib import Path

import pytest

from course.book_pieces import pieces
from grader.course_file import load_course

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "course" / "book").glob("ch*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_exercise_stands_there_once_in_the_order_of_work(page):
    named = re.findall(r"^```\{exercise\} (\w+)$", page.read_text(encoding="utf-8"), re.M)
    assert named == list(load_course(ROOT / "course.toml").chapters[page.stem].points)


def test_the_pieces_are_the_readers_where_they_are_written(tmp_path, monkeypatch):
    for name, text in {
        "exercises/ch3/attention.py": "def causal_mask(size):\n    return size\n",
        "exercises/ch4/block.py": "def half(x):\n    raise NotImplementedError('half: not written yet')\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    (tmp_path / "exercises" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "exercises"]:
        monkeypatch.delitem(sys.modules, name)
    assert pieces("ch3").causal_mask(5) == 5
    assert pieces("ch4").__name__ == "solutions.ch4.block"
