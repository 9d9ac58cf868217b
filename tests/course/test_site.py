"""The book as a site: it builds without a warning, its cells run, and its pages hold what they should."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from course.hints import levels_of
from course.pieces import MODULES
from grader.course_file import load_course
from tests.chromium import browser, chromium, served

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "course" / "book"
CHAPTERS = [path.stem for path in sorted(BOOK.glob("ch*.md"))]
LOADED = {"script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "object": "data"}
EQUATIONS_DRAWN = "[...document.querySelectorAll('.math')].every(math => math.querySelector('svg'))"
# what reaches beyond the screen's right edge and is in nothing that scrolls by itself
TOO_WIDE = """[...document.querySelectorAll('article *')]
    .filter(element => element.getBoundingClientRect().right > screen.width + 1)
    .filter(element => !element.closest('mjx-assistive-mml'))
    .filter(element => {
        while ((element = element.parentElement).tagName !== 'ARTICLE')
            if (/auto|scroll/.test(getComputedStyle(element).overflowX)) return false
        return true
    }).map(element => element.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site. Cells were run now or, if neither they nor their code has changed since, by an earlier build.

    A warning, and a cell that fails, fail the build.
    """
    to = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*build, "-d", to / "doctrees", BOOK, to / "html"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return to / "html"


@pytest.fixture(scope="module")
def pages(site) -> dict[str, BeautifulSoup]:
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        for path in site.rglob("*.html")
    }


def test_the_index_leads_to_the_chapters_in_order(pages):
    chapters, figures = pages["index.html"].select("article .toctree-wrapper")
    links = chapters.select("a")
    titles = [pages[f"{chapter}.html"].h1.contents[-2].strip() for chapter in CHAPTERS]
    assert [link["href"] for link in links] == [f"{chapter}.html" for chapter in CHAPTERS]
    assert [link.text for link in links] == [f"{n}. {title}" for n, title in enumerate(titles, 1)]
    assert [link["href"] for link in figures.select("a")] == ["speed_figures.html"]


def test_the_figures_of_speed_are_the_benchmarks_own(pages):
    text = (BOOK / "speed_figures.md").read_text(encoding="utf-8")
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    shown = pages["speed_figures.html"].article
    sections = re.findall(r"^```\{benchmark\} (.*)$", text, re.M)
    assert sections
    for section in sections:
        [written] = re.findall(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", readme, re.M | re.S)
        commands = re.findall(r"^    (.*)$", written, re.M)
        assert commands and all(command.strip() in shown.text for command in commands)
        rows = re.findall(r"^\|[ :|-]+\|\n((?:\|.*\n)+)", written, re.M)
        cells = {cell.strip() for table in rows for cell in re.split(r"[|\n]", re.sub(r"[`*]", "", table))}
        assert cells <= {cell.text for cell in shown.select("td")} | {""}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_cell_was_run(pages, chapter):
    text = (BOOK / f"{chapter}.md").read_text(encoding="utf-8")
    shown = pages[f"{chapter}.html"].select("div.cell")
    assert len(shown) == text.count("\n```{code-cell}") > 3
    with_output = [cell for cell in shown if cell.select(".cell_output")]
    assert len(with_output) >= len([cell for cell in shown if re.search(r"print|show", cell.text)]) > 2


def test_every_exercise_stands_there_once_with_its_points_stub_command_and_hints(site, pages):
    chapters = load_course(ROOT / "course.toml").chapters
    for chapter in CHAPTERS:
        boxes = pages[f"{chapter}.html"].select("div.exercise")
        assert [box["id"] for box in boxes] == [f"exercise-{name}" for name in chapters[chapter].points]
        for box, (name, points) in zip(boxes, chapters[chapter].points.items(), strict=True):
            assert box.select_one(".admonition-title").text == f"Exercise: {name} {points} points"
            assert box.p.find_next_sibling("p").text.endswith(
                f"then run pytest exercises/{chapter} -k {name}"
            )
            hints = [hint.select("p") for hint in box.select("details.hint")]
            written = [level.replace("`", "") for level in levels_of(chapter, name)]
            assert [" ".join(part.text for part in hint) for hint in hints] == written
            page, _, anchor = box.select_one("a[href^=exercises]")["href"].partition("#")
            line = int(anchor.removeprefix("line-"))
            stub = (ROOT / "exercises" / chapter / f"{MODULES[chapter]}.py").read_text(encoding="utf-8")
            assert re.match(rf"(def|class) {name}\b", stub.splitlines()[line - 1])
            assert pages[page].select_one("div.highlight pre").text.strip() == stub.strip()
            assert pages[page].find(id=anchor)


def test_every_question_has_its_points_and_text(pages):
    for chapter in CHAPTERS:
        text = (BOOK / f"{chapter}.md").read_text(encoding="utf-8")
        written = re.findall(r"^```\{question\} ([\w-]+)\n:points: (\d+)\n", text, re.M)
        boxes = pages[f"{chapter}.html"].select("div.question")
        titles = [(box["id"], box.select_one(".admonition-title").text) for box in boxes]
        assert titles == [(f"question-{name}", f"Question {points} points") for name, points in written]
        assert all(len(box.text) > 100 for box in boxes) and boxes


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_figures_are_told_in_words(pages, chapter):
    text = (BOOK / f"{chapter}.md").read_text(encoding="utf-8")
    written = [json.loads(words) for words in re.findall(r"^    alt: (\".*\")$", text, re.M)]
    figures = pages[f"{chapter}.html"].select("div.cell_output img")
    assert [figure["alt"] for figure in figures] == written
    assert min(map(len, written)) > 60


def test_nothing_is_loaded_from_another_host(site, pages):
    for name, page in pages.items():
        for tag, attribute in LOADED.items():
            for element in page.find_all(tag, {attribute: True}):
                assert not urlsplit(element[attribute]).netloc, f"{name}: {element}"
    for sheet in site.rglob("*.css"):
        for address in re.findall(r"url\(([^)]*)\)|@import\s+([^;]*)", sheet.read_text(encoding="utf-8")):
            assert not re.match(r"""["']?(https?:)?//""", "".join(address).strip()), (
                f"{sheet.name}: {address}"
            )


def test_links_within_lead_somewhere(site, pages):
    anchors = {name: {element["id"] for element in page.find_all(id=True)} for name, page in pages.items()}
    for name, page in pages.items():
        for link in page.find_all("a", href=True):
            parts = urlsplit(link["href"])
            if parts.scheme or parts.netloc:
                continue
            target = (site / name).parent / unquote(parts.path) if parts.path else site / name
            there = target.resolve().relative_to(site.resolve()).as_posix()
            assert target.is_file(), f"{name}: {link['href']}"
            if parts.fragment and there in pages:
                assert unquote(parts.fragment) in anchors[there], f"{name}: {link['href']}"


def test_a_page_that_names_no_exercise_or_no_points_is_no_book(tmp_path):
    (tmp_path / "conf.py").write_text('extensions = ["myst_nb", "course.book_site"]\nroot_doc = "ch3"\n')
    wrong = "# Title\n\n```{exercise} FusedAttention\n```\n\n```{question} why\nWhy?\n```\n\n"
    wrong += "```{benchmark} Luck\n```\n"
    (tmp_path / "ch3.md").write_text(wrong)
    build = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-b", "dummy"]
    done = subprocess.run([*build, tmp_path, tmp_path / "out"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "ch3 has no exercise FusedAttention; it has prefix_mean_loop" in done.stderr
    assert "the question why says no :points:" in done.stderr
    assert "benchmarks/README.md has no section Luck" in done.stderr


@pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")
def test_in_a_browser(site, tmp_path):
    with served(site) as home, browser(chromium(), tmp_path / "profile") as page:
        for width in (1280, 390):
            page.size(width, 844)
            for name in ["index", *CHAPTERS, "speed_figures", "exercises/ch3/attention"]:
                page.open(f"{home}{name}.html")
                assert page.value("document.querySelector('h1').offsetHeight") > 20
                if name in CHAPTERS:
                    page.wait_for(EQUATIONS_DRAWN)
                    assert not page.value("!!document.querySelector('mjx-merror')")
                    assert page.value("[...document.images].every(image => image.naturalWidth)")
                assert page.value("screen.width") == width
                assert page.value("document.documentElement.scrollWidth") <= width, f"{name} at {width}"
                assert page.value(TOO_WIDE) == [], f"{name} at {width}"
        page.open(f"{home}ch3.html")
        page.value("document.querySelector('details.hint summary').click()")
        assert page.value("document.querySelector('details.hint p').offsetHeight") > 10
        page.open(f"{home}search.html?q=causal+mask")
        page.wait_for("!!document.querySelector('#search-results li a[href^=\"ch3.html\"]')")
        page.wait_for("/found|matching/.test(document.querySelector('.search-summary').textContent)")
        assert all(address.startswith((home, "data:", "blob:")) for address in page.asked)
        assert page.complaints == []
