"""`course watch`: after each save, the first check that fails; when it passes, the next exercise.

When a chapter has passed, the first one in the course that has not is next; a chapter that was asked for by
name is not left.
"""

import queue
import threading
import time
from pathlib import Path

import watchfiles
from rich.console import Console

from .checker import CAN_FORK, Checker, Run
from .progress import (
    FAILED,
    NOT_STARTED,
    PASSED,
    States,
    cannot_run,
    earned,
    key,
    known,
    next_exercise,
    remember,
    what_counts,
)
from .screen import WIDTH, fill, is_plain, is_terminal, say, shown
from .workplace import Workplace, chapter_named

LOST = (FAILED, NOT_STARTED)
PATIENCE_SECONDS = 2.0  # then a run that is still at the same check says so
STEP_MS, DEBOUNCE_MS = 20, 200  # how long to wait for more of the same save, at least and at most


def watch(place: Workplace, typed: str | None, fork: bool = CAN_FORK) -> None:
    """typed: a chapter's name or number, to stay with it."""
    only = None if typed is None else chapter_named(place, typed).name
    events, stop = queue.Queue(), threading.Event()
    saves = threading.Thread(target=_report_saves, args=(place.exercises, events, stop), daemon=True)
    try:
        with Checker(place.folder, events, fork, is_plain()) as checker:
            saves.start()
            Watch(place, checker, only).go()
    except KeyboardInterrupt:
        say("\nStopped watching. A bare `course` shows where you stand.")
    finally:
        stop.set()
        if saves.ident:
            saves.join(timeout=2)


class Watch:
    """What is being worked on, and what was seen of it."""

    def __init__(self, place: Workplace, checker: Checker, only: str | None):
        self.place = place
        self.checker = checker
        self.only = only  # the chapter to stay with
        self.states: dict[str, States] = known(place)
        self.keys = {name: key(place, name) for name in self.states}  # of the files that these are about
        self.chapter = ""
        self.exercise: str | None = None  # the one in hand
        self.news: list[str] = []  # for the top of the next screen
        self.key = ""
        self.run: Run | None = None
        self.quiet_since = 0.0

    def go(self) -> None:
        """Until everything has passed, or Ctrl-C."""
        say("Importing torch ...")
        self.chapter = self.only or self._first_unfinished() or ""
        if self.chapter:
            self._start()
        while self.chapter:
            try:
                kind, value = self.checker.events.get(timeout=0.2)
            except queue.Empty:
                if self.checker.overdue():
                    self._over()
                elif self.run and time.monotonic() - self.quiet_since > PATIENCE_SECONDS:
                    self._still_running()
                continue
            if kind == "saved":
                self._saved(value)
            elif (run := self.checker.take(value)) is not None:
                self.quiet_since = time.monotonic()
                if "first" in value:
                    self._draw(run.first["text"], {} if run.first["importing"] else run.states)
                    self.exercise = run.first["exercise"]
                if run.over:
                    self._over()
        say("Every chapter has passed. Next: course train --pieces exercises")

    def _start(self) -> None:
        points = self.place.chapters[self.chapter].points
        self.key = key(self.place, self.chapter)
        self.run = self.checker.start(self.chapter, list(points), self.exercise)
        self.quiet_since = time.monotonic()

    def _saved(self, chapters: set[str]) -> None:
        touched = [name for name in self.place.chapters if name in chapters]
        if not touched:
            return
        if self.chapter not in touched and self.only is None:
            self.chapter, self.exercise = touched[0], None
        self._start()

    def _over(self) -> None:
        """A run has ended, one way or another."""
        run, self.run = self.run, None
        if run.problem:
            said = cannot_run(self.place, self.chapter, run.problem)
            self._draw(fill(f"{said[:1].upper()}{said[1:]}."), {})
        elif run.over != "done":
            self._stopped(run)
        else:
            if run.sure:
                remember(self.place, self.chapter, self.key, run.states, run.passing)
            if not (run.first and run.first["importing"]):
                self._tell_points(run)

    def _stopped(self, run: Run) -> None:
        """Something took the whole process of a run with it."""
        who, where = (f"{run.exercise}: y", f" in the check {run.check}") if run.check else ("Y", "")
        command = f"pytest exercises/{self.chapter} -k {run.check or self.chapter} -s"
        text = fill(f"{who}our code {run.over}{where}.")
        text += "\n\n" + fill(f"Next: `{command}` runs it alone, with all that it prints.")
        if run.first is None:
            self._draw(text, {})
        else:
            say("\n" + text)

    def _tell_points(self, run: Run) -> None:
        self._note_changes(run.states)
        self.states[self.chapter], self.keys[self.chapter] = run.states, self.key
        chapter = self.place.chapters[self.chapter]
        points = f"{self.chapter}: {earned(chapter, run.states)} of {chapter.total} points"
        watching = f"Watching {shown(self.place.exercises)}/; Ctrl-C ends."
        if next_exercise(chapter, run.states) is not None:
            counts = what_counts(chapter, run.first["exercise"], run.passing) if run.first else None
            say()
            self._say_news()
            if counts:
                say(fill(f"{run.first['exercise']}: {counts}"))
            say(f"{points}. {watching}")
        elif self.only is None:
            self._move_on(f"{points}: {chapter.title} has passed.")
        else:
            self._draw(f"{points}: {chapter.title} has passed.", {})
            onward = self._first_unfinished()
            if onward:
                title = self.place.chapters[onward].title
                say(f"\nNext: Ctrl-C, then `course watch` for {onward} {title}.")
            say(f"\n{watching}")

    def _move_on(self, news: str) -> None:
        say(news)
        self.news.append(news)
        self.exercise = None
        self.chapter = self._first_unfinished() or ""
        if self.chapter:
            self._start()

    def _first_unfinished(self) -> str | None:
        """The first chapter, in the course's order, that is not known to pass as its files are now."""
        for name, chapter in self.place.chapters.items():
            if name not in self.states or next_exercise(chapter, self.states[name]) is not None:
                return name
            if self.keys[name] != key(self.place, name):
                return name
        return None

    def _note_changes(self, states: States) -> None:
        """News of what passes now and did not before, and the other way round. "not run" is no news."""
        before = self.states.get(self.chapter)
        if before is None:
            return
        points = self.place.chapters[self.chapter].points
        passed = [name for name, now in states.items() if now == PASSED != before.get(name)]
        lost = [name for name, now in states.items() if now in LOST and before.get(name) == PASSED]
        if passed:
            self.news.append(f"Passed, {sum(points[name] for name in passed)} points: {', '.join(passed)}.")
        if lost:
            self.news.append(f"No longer passing: {', '.join(lost)}.")
        self.states[self.chapter] = before | {name: states[name] for name in passed + lost}

    def _draw(self, text: str, states: States) -> None:
        self._note_changes(states)
        if is_terminal():
            Console().clear()
        else:
            say()
        title = f"{self.chapter} {self.place.chapters[self.chapter].title}"
        say(f"{title:<{WIDTH - 9}} {time.strftime('%H:%M:%S')}")
        say("-" * WIDTH)
        if self._say_news():
            say()
        say(text)

    def _say_news(self) -> bool:
        news = list(self.news)
        self.news.clear()
        for line in news:
            say(fill(line))
        return bool(news)

    def _still_running(self) -> None:
        if self.run.check is not None:
            say(f"Still running {self.run.check} ... (save again to start over)")
            self.quiet_since = float("inf")


def _report_saves(folder: Path, events: queue.Queue, stop: threading.Event) -> None:
    """Puts ("saved", chapters) into `events`."""
    changes = watchfiles.watch(
        folder, watch_filter=_is_source, step=STEP_MS, debounce=DEBOUNCE_MS, stop_event=stop
    )
    for change in changes:
        events.put(("saved", {Path(path).relative_to(folder).parts[0] for _, path in change}))


def _is_source(change: watchfiles.Change, path: str) -> bool:
    return path.endswith(".py") and not Path(path).name.startswith(".")
