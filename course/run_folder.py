"""A training run's folder: what was asked for, what was measured, and where to go on from.

config.json        the corpus, the sizes, the settings, the seed, device and threads
metrics.csv        one row a look at the losses
checkpoint.pt      everything needed to go on (written by the pieces' save_checkpoint)
model.safetensors  the weights alone, with sizes and tokenizer, for `course generate`
samples/           what the model wrote on the way, a file a look
loss.png           the losses over the steps
"""

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import CourseError
from .whole_file import write_whole

COLUMNS = ["step", "tokens", "learning_rate", "train_loss", "val_loss", "seconds"]


class RunFolder:
    def __init__(self, path: Path):
        self.path = path
        self.config_file = path / "config.json"
        self.metrics_file = path / "metrics.csv"
        self.checkpoint_file = path / "checkpoint.pt"
        self.model_file = path / "model.safetensors"
        self.samples_folder = path / "samples"
        self.plot_file = path / "loss.png"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, made if need be, so that two trainings never write into one."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=0)
            lock.acquire()
        except Timeout:
            raise CourseError(
                f"run folder {self.path} is in use by another training: choose another with --to"
            ) from None
        except OSError as error:
            raise CourseError(
                f"cannot write to run folder {self.path} ({error.strerror}): choose another with --to"
            ) from None
        with lock:
            yield

    def holds_a_run(self) -> bool:
        return self.config_file.exists()

    def clear(self) -> None:
        """Take away what an earlier run left, and nothing else that may lie in the folder."""
        files = [self.checkpoint_file, self.model_file, self.metrics_file, self.plot_file, self.config_file]
        for file in [*files, *self.samples_folder.glob("step-*.txt")]:
            file.unlink(missing_ok=True)

    def write_config(self, config: dict) -> None:
        with write_whole(self.config_file, "w") as file:
            json.dump(config, file, indent=2, ensure_ascii=False)
            file.write("\n")

    def read_config(self) -> dict:
        if not self.holds_a_run():
            raise CourseError(f"there is no run in {self.path} to go on with: start it without --resume")
        try:
            return json.loads(self.config_file.read_text(encoding="utf-8"))
        except ValueError:
            raise CourseError(f"{self.config_file} is damaged: start anew with --overwrite") from None

    def write_metrics(self, rows: list[dict]) -> None:
        with write_whole(self.metrics_file, "w") as file:
            table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)

    def read_metrics(self, before_step: int) -> list[dict]:
        """The rows that lie before a step: what came after the checkpoint is measured again."""
        if not self.metrics_file.exists():
            return []
        rows = csv.DictReader(io.StringIO(self.metrics_file.read_text(encoding="utf-8")))
        numbers = [{name: float(value) for name, value in row.items()} for row in rows]
        for row in numbers:
            row["step"], row["tokens"] = int(row["step"]), int(row["tokens"])
        return [row for row in numbers if row["step"] < before_step]

    def write_sample(self, step: int, sample: str) -> None:
        with write_whole(self.samples_folder / f"step-{step:06}.txt", "w") as file:
            file.write(sample + "\n")

    def write_plot(self, rows: list[dict]) -> None:
        from matplotlib.figure import Figure  # late: it takes a second to import

        steps = [row["step"] for row in rows]
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        best = min(row["val_loss"] for row in rows)
        axes.plot(steps, [row["train_loss"] for row in rows], color="#1f6fb4", label="training")
        axes.plot(
            steps,
            [row["val_loss"] for row in rows],
            color="#c8501e",
            linestyle="--",
            label=f"validation (best {best:.3f})",
        )
        axes.set(xlabel="step", ylabel="loss (nats per token)", title=self.path.name)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=120)
        with write_whole(self.plot_file, "wb") as file:
            file.write(image.getvalue())
