"""`course train`: put the pieces together and train them on a text."""

import dataclasses
import errno
import hashlib
import platform
import signal
import sys
import threading
import time
from pathlib import Path

import torch

from . import corpora
from .errors import CourseError
from .generate import Sampling, seeded_generator, stream
from .hardware import choose_device, choose_threads
from .model_file import make_tokenizer, save_model
from .pieces import FILTERS, MODEL, SAMPLING, TRAINING, Pieces, load_pieces
from .run_folder import RunFolder
from .sizes import named_size
from .train_display import TrainDisplay
from .whole_file import cannot_write

BETAS = (0.9, 0.99)
WEIGHT_DECAY = 0.1
MAX_GRADIENT_NORM = 1.0
EVAL_ITERS = 20
FINAL_BATCHES = 400
GPT2_VOCAB_SIZE = 50257
SAMPLE = Sampling(max_tokens=200, temperature=0.8, top_k=None, top_p=None)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is asked for; with the corpus and the machine it decides every number of it."""

    corpus: str
    size: str
    steps: int
    batch_size: int
    learning_rate: float
    seed: int
    eval_every: int
    package: str

    def __post_init__(self):
        for name in ("steps", "batch_size", "eval_every", "learning_rate"):
            if getattr(self, name) <= 0:
                raise CourseError(f"--{name.replace('_', '-')} {getattr(self, name)} is not above 0")


def settings_for(corpus: str, size_name: str, package: str | None, asked: dict) -> Settings:
    """The size's own settings, with what was asked for on the command line in their place."""
    size = named_size(size_name)
    values = {
        "steps": size.steps,
        "batch_size": size.batch_size,
        "learning_rate": size.learning_rate,
        "seed": 123,
    }
    values |= {name: value for name, value in asked.items() if value is not None}
    values.setdefault("eval_every", min(250, max(1, values["steps"] // 10)))
    return Settings(corpus=corpus, size=size_name, package=load_pieces(package).package, **values)


def train(
    settings: Settings,
    folder: RunFolder,
    resume: bool,
    overwrite: bool,
    device_name: str,
    threads: int | None,
) -> int:
    """Run or go on with a training; returns the exit code."""
    device = choose_device(device_name)
    pieces = load_pieces(settings.package)
    pieces.require(MODEL, TRAINING, SAMPLING, {"ch7": FILTERS})
    text = corpora.read_text(settings.corpus)
    if resume:
        recorded = folder.read_config()
        check_same_run(settings, text, recorded, folder)
        threads = threads or recorded["machine"]["threads"]
    elif folder.holds_a_run() and not overwrite:
        raise CourseError(
            f"{folder.path} holds a run already: go on with --resume, start anew with --overwrite, "
            "or choose another folder with --to"
        )
    run = Training(settings, text, pieces, device, threads)
    with folder.locked():
        if not resume:
            folder.clear()
            folder.write_config(run.config())
        return run.loop(folder, resume)


def check_same_run(settings: Settings, text: str, recorded: dict, folder: RunFolder) -> None:
    """Going on with other settings or another text would be neither the old run nor a new one."""
    for name, value in dataclasses.asdict(settings).items():
        if recorded["settings"][name] != value:
            raise CourseError(
                f"{folder.path} was started with {name.replace('_', ' ')} {recorded['settings'][name]}, "
                f"not {value}: repeat its settings, or start another run with --to"
            )
    if recorded["corpus_sha256"] != digest(text):
        raise CourseError(
            f"{settings.corpus} has changed since {folder.path} was started: start another run with --to"
        )


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Training:
    """A model, its optimizer and its data, at some step of a run."""

    def __init__(
        self, settings: Settings, text: str, pieces: Pieces, device: torch.device, threads: int | None
    ):
        self.settings, self.pieces, self.device = settings, pieces, device
        self.corpus_sha256 = digest(text)
        size = named_size(settings.size)

        if size.tokenizer == "char":
            self.tokenizer = pieces.ch1.CharTokenizer.from_text(text)
            vocab_size = self.tokenizer.vocab_size
            characters = self.tokenizer.decode(range(vocab_size))
            self.tokenizer_description = {"kind": "char", "characters": characters}
        else:
            self.tokenizer_description = {"kind": "gpt2"}
            self.tokenizer = make_tokenizer(self.tokenizer_description, pieces)
            vocab_size = GPT2_VOCAB_SIZE
        ids = torch.tensor(self.tokenizer.encode(text))
        self.train_ids, self.val_ids = pieces.ch2.train_val_split(ids)
        if len(self.val_ids) <= size.context_length:
            raise CourseError(
                f"corpus {settings.corpus} has {len(ids)} tokens, and a tenth of them is for validation: "
                f"with context {size.context_length} it needs at least {10 * size.context_length + 10}"
            )
        self.sample_prompt = (
            ids[:1].tolist() if size.tokenizer == "gpt2" else self.tokenizer.encode(first_character(text))
        )

        self.cfg = pieces.ch4.GPTConfig(
            vocab_size=vocab_size,
            context_length=size.context_length,
            emb_dim=size.emb_dim,
            n_heads=size.n_heads,
            n_layers=size.n_layers,
            drop_rate=size.drop_rate,
            qkv_bias=False,
        )
        torch.manual_seed(settings.seed)
        self.model = pieces.ch5.GPTModel(self.cfg)
        pieces.ch5.init_weights(self.model)
        pieces.ch5.tie_weights(self.model)
        self.model.to(device)
        groups = pieces.ch6.parameter_groups(self.model, WEIGHT_DECAY)
        self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS)
        self.step = 0

        if device.type == "cpu":
            with torch.random.fork_rng(devices=[]):
                self.threads = choose_threads(threads, self.forward_backward)
        else:
            self.threads = torch.get_num_threads()

    def config(self) -> dict:
        return {
            "settings": dataclasses.asdict(self.settings),
            "model": dataclasses.asdict(self.cfg),
            "tokenizer": self.tokenizer_description,
            "corpus_sha256": self.corpus_sha256,
            "machine": {
                "device": str(self.device),
                "threads": self.threads,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    def forward_backward(self) -> torch.Tensor:
        x, y = self.pieces.ch2.get_batch(self.train_ids, self.settings.batch_size, self.cfg.context_length)
        self.optimizer.zero_grad()
        loss = self.pieces.ch6.calc_loss_batch(x, y, self.model, self.device)
        loss.backward()
        return loss

    def take_step(self) -> torch.Tensor:
        rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        loss = self.forward_backward()
        self.pieces.ch6.clip_gradients(self.model.parameters(), MAX_GRADIENT_NORM)
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def learning_rate(self) -> float:
        s = self.settings
        warmup = min(100, s.steps // 10)
        # The schedule is 0 at step 0, and a step of size 0 would be wasted: the first one is step 1.
        return self.pieces.ch6.learning_rate(
            self.step + 1, s.learning_rate, s.learning_rate / 10, warmup, s.steps
        )

    def look(self, final: bool) -> dict[str, float]:
        """Both losses; the last look takes the validation text from end to end."""
        generator = torch.Generator().manual_seed(self.settings.seed + self.step)
        s, T = self.settings, self.cfg.context_length
        losses = self.pieces.ch6.estimate_loss(
            self.model, self.train_ids, self.val_ids, s.batch_size, T, EVAL_ITERS, generator
        )
        if final:
            self.model.eval()
            loader = self.pieces.ch2.create_dataloader(
                self.val_ids, s.batch_size, T, stride=T, shuffle=False, drop_last=False,
                generator=generator,
            )  # fmt: skip
            losses["val"] = self.pieces.ch6.calc_loss_loader(loader, self.model, self.device, FINAL_BATCHES)
        return losses

    def sample(self) -> str:
        self.model.eval()
        generator = seeded_generator(self.device, self.settings.seed + self.step)
        ids = stream(self.pieces, self.model, self.sample_prompt, SAMPLE, generator)
        return self.tokenizer.decode([*self.sample_prompt, *ids])

    def loop(self, folder: RunFolder, resume: bool) -> int:
        rows: list[dict] = []
        if resume:
            self.restore(folder)
            rows = folder.read_metrics(before_step=self.step)
        started = time.perf_counter() - (rows[-1]["seconds"] if rows else 0.0)
        steps = self.settings.steps
        count = self.pieces.ch5.count_parameters(self.model)
        with (
            TrainDisplay(folder.path, steps, self.step, self.tokens_per_step) as display,
            stop_signals() as stop,
        ):
            display.say(
                f"{self.settings.size} on {self.settings.corpus}: {count:,} parameters, "
                f"{self.device} with {self.threads} thread(s)"
                + (f", from step {self.step}" if resume else "")
            )
            while True:
                at_end = self.step == steps
                if at_end or self.step % self.settings.eval_every == 0:
                    losses = self.look(final=at_end)
                    row = {
                        "step": self.step,
                        "tokens": self.step * self.tokens_per_step,
                        "learning_rate": self.learning_rate(),
                        "train_loss": losses["train"],
                        "val_loss": losses["val"],
                        "seconds": round(time.perf_counter() - started, 1),
                    }
                    rows = [*rows, row]
                    sample = self.sample()
                    self.keep(folder, rows, sample)
                    display.look(row, sample)
                if at_end or stop.is_set():
                    break
                display.step(self.take_step())
            if not at_end:
                self.keep(folder, rows)
        if rows:
            folder.write_plot(rows)
        if at_end:
            display.finished(rows[-1])
            return 0
        print(
            f"course: stopped at step {self.step}; go on with the same command and --resume", file=sys.stderr
        )
        return 130

    @property
    def tokens_per_step(self) -> int:
        return self.settings.batch_size * self.cfg.context_length

    def keep(self, folder: RunFolder, rows: list[dict], sample: str | None = None) -> None:
        """Put everything on disk; what was there stays whole if this fails or is killed."""
        folder.write_metrics(rows)
        if sample is not None:
            folder.write_sample(self.step, sample)
        notes = {"corpus": self.settings.corpus, "size": self.settings.size, "step": self.step}
        if rows and rows[-1]["step"] == self.step:
            notes["val_loss"] = rows[-1]["val_loss"]
        save_model(folder.model_file, self.model, self.cfg, self.tokenizer_description, notes)
        try:
            self.pieces.ch6.save_checkpoint(folder.checkpoint_file, self.model, self.optimizer, self.step)
        except (OSError, RuntimeError) as error:
            # torch.save wraps what the system said into a RuntimeError of its own
            cause = error if isinstance(error, OSError) else error.__context__
            if isinstance(cause, OSError):
                raise cannot_write(folder.checkpoint_file, cause) from None
            if "inline_container" in str(error):  # it wrote to the path itself, and met a full disk
                raise cannot_write(folder.checkpoint_file, OSError(errno.ENOSPC, "")) from None
            raise

    def restore(self, folder: RunFolder) -> None:
        if not folder.checkpoint_file.exists():
            return  # killed before the first checkpoint: the start is the same
        try:
            self.step = self.pieces.ch6.load_checkpoint(folder.checkpoint_file, self.model, self.optimizer)
        except (OSError, RuntimeError, KeyError, ValueError, EOFError) as error:
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CourseError(
                f"{folder.checkpoint_file} cannot be read ({first_line}): start anew with --overwrite"
            ) from None


def first_character(text: str) -> str:
    return "\n" if "\n" in text else text[0]


class stop_signals:
    """While it is entered, Ctrl-C and SIGTERM set an event instead of breaking off in mid-step.

    A second Ctrl-C breaks off at once.
    """

    def __enter__(self) -> threading.Event:
        self.event = threading.Event()
        self.previous = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self.previous[number] = signal.signal(number, self.on_signal)
        return self.event

    def on_signal(self, number, frame) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()

    def __exit__(self, *exception) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)


def default_folder(corpus: str, size: str) -> Path:
    return Path("runs") / f"{Path(corpus).stem}-{size}"
