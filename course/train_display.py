"""What a person sees while a model trains: a bar, the losses, and now and then a sample."""

import textwrap
import time
from collections import deque
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class TrainDisplay:
    """On a terminal a bar with loss, tokens/s and time left; elsewhere one line a look."""

    def __init__(self, folder: Path, steps: int, step: int, tokens_per_step: int, quiet: bool):
        self.folder, self.steps = folder, steps
        self.tokens_per_step = tokens_per_step
        self.console = Console(highlight=False, markup=False, soft_wrap=True, quiet=quiet)
        self.progress = Progress(
            TextColumn("step {task.completed}/{task.total}"),
            BarColumn(bar_width=16),
            TextColumn("loss {task.fields[loss]}  {task.fields[speed]} tokens/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=self.console,
            transient=True,
            disable=quiet or not self.console.is_terminal,
        )
        self.task = self.progress.add_task("", total=steps, completed=step, loss="-", speed="-")
        self.recent: deque[tuple[float, torch.Tensor]] = deque(maxlen=50)

    def __enter__(self):
        self.progress.start()
        return self

    def __exit__(self, *exception) -> None:
        self.progress.stop()

    def say(self, line: str) -> None:
        self.console.print(line)

    def step(self, loss: torch.Tensor) -> None:
        self.recent.append((time.perf_counter(), loss))
        fields = {}
        # Reading a loss makes a GPU wait for it: once in ten steps is enough for the eye.
        if len(self.recent) > 1 and self.progress.tasks[0].completed % 10 == 0:
            seconds = self.recent[-1][0] - self.recent[0][0]
            fields["speed"] = f"{(len(self.recent) - 1) * self.tokens_per_step / seconds:,.0f}"
            fields["loss"] = f"{torch.stack([loss for _, loss in self.recent]).mean().item():.3f}"
        self.progress.update(self.task, advance=1, **fields)

    def look(self, row: dict, sample: str) -> None:
        self.recent.clear()  # the time spent looking is not training's
        self.say(
            f"step {row['step']:>6}  train {row['train_loss']:.4f}  val {row['val_loss']:.4f}  "
            f"{clock(row['seconds'])}"
        )
        if row["step"] == 0 or row["step"] == self.steps:
            return
        if self.console.is_terminal:
            lines = [line[:72] for line in sample.splitlines() if line.strip()]
            self.say(textwrap.indent("\n".join(lines[:3]), "    "))

    def finished(self, row: dict) -> None:
        self.say(
            f"validation loss {row['val_loss']:.4f} after {row['step']} steps, {clock(row['seconds'])}\n"
            f"in {self.folder}: loss.png, metrics.csv, samples, model.safetensors\n"
            f'next: course generate "ROMEO:" --run {self.folder}'
        )


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
