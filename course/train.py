"""`course train`: put the pieces together and train them on a text."""

import dataclasses
import errno
import hashlib
import platform
import sys
import time
from contextlib import nullcontext
from itertools import repeat
from pathlib import Path

import torch
from torch import nn

from . import corpora, fast_generate, fast_train
from .errors import CourseError
from .generate import Sampling, seeded_generator, stream
from .hardware import choose_device, choose_threads
from .model_file import make_tokenizer, save_model
from .parallel import Processes
from .pieces import FILTERS, MODEL, SAMPLING, TRAINING, Pieces, load_pieces
from .run_folder import RunFolder
from .screen import complain
from .sizes import named_size
from .stop_signals import stop_signals
from .train_display import TrainDisplay
from .whole_file import cannot_write

BETAS = (0.9, 0.99)
WEIGHT_DECAY = 0.1
MAX_GRADIENT_NORM = 1.0
EVAL_ITERS = 20
FINAL_BATCHES = 400
GPT2_VOCAB_SIZE = 50257
TRIED_POSITIONS = 512  # enough to see what pays
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
    fast: bool = False

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
    processes: Processes,
) -> int:
    """Run or go on with a training; returns the exit code."""
    device = choose_device(processes.device(device_name))
    processes.check_batch_size(settings.batch_size)
    pieces = load_pieces(settings.package)
    text = corpora.read_text(settings.corpus)
    rungs = rungs_for(settings, text, device, processes) if settings.fast else []
    pieces.require(MODEL, TRAINING, SAMPLING, {"ch7": FILTERS}, fast_train.needs(rungs) if rungs else {})
    if resume:
        recorded = folder.read_config()
        check_same_run(settings, text, recorded, folder)
        threads = threads or recorded["machine"]["threads"]
        if settings.fast and torch.device(recorded["machine"]["device"]).type == device.type:
            rungs = recorded["machine"]["fast"]
    elif processes.is_first and folder.holds_a_run() and not overwrite:
        raise CourseError(
            f"{folder.path} holds a run already: go on with --resume, start anew with --overwrite, "
            "or choose another folder with --to"
        )
    run = Training(settings, text, pieces, device, threads, rungs, processes)
    if settings.fast and device.type == "cpu" and not resume:
        run.try_rungs()
    run.forward = processes.wrap(run.forward, device)  # after all trials, of which the others know nothing
    if not processes.is_first:
        return run.loop(folder, resume)
    with folder.locked():
        if not resume:
            folder.clear()
            folder.write_config(run.config())
        return run.loop(folder, resume)


def rungs_for(settings: Settings, text: str, device: torch.device, processes: Processes) -> list[str]:
    size = named_size(settings.size)
    vocab_size = GPT2_VOCAB_SIZE if size.tokenizer == "gpt2" else len(set(text))
    positions = settings.batch_size // processes.count * size.context_length
    return fast_train.rungs_that_pay(device, vocab_size, positions)


def check_same_run(settings: Settings, text: str, recorded: dict, folder: RunFolder) -> None:
    """Going on with other settings or another text would be neither the old run nor a new one."""
    before = {"fast": False} | recorded["settings"]  # runs have been started that did not know of it
    for name, value in dataclasses.asdict(settings).items():
        if before[name] != value:
            raise CourseError(
                f"{folder.path} was started with {name.replace('_', ' ')} {before[name]}, "
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
        self,
        settings: Settings,
        text: str,
        pieces: Pieces,
        device: torch.device,
        threads: int | None,
        rungs: list[str],
        processes: Processes,
    ):
        self.settings, self.pieces, self.device = settings, pieces, device
        self.rungs, self.processes = rungs, processes
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
        if rungs:
            plain_names = fast_train.names_in_groups(self.model, groups)
            with torch.random.fork_rng(devices=[]):  # new layers draw first weights that nobody uses
                fast_train.speed_up(self.model, self.cfg, rungs, pieces)
            self.optimizer = pieces.ch9.fused_adamw(self.model, settings.learning_rate, WEIGHT_DECAY, BETAS)
            fast_train.keep_states_plain(self.model, self.optimizer, vocab_size, plain_names)
        else:
            self.optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS)
        self.step = 0

        self.forward = fast_train.Body(self.model, pieces) if "chunks" in rungs else self.model
        if "compile" in rungs:
            self.forward = torch.compile(self.forward)

        if device.type == "cpu":
            with torch.random.fork_rng(devices=[]):
                self.threads = choose_threads(threads, lambda: self.forward_backward(*self.draw_batch()))
        else:
            self.threads = torch.get_num_threads()

    def try_rungs(self) -> None:
        """On a CPU, take what a trial shows to pay, the same in all processes."""
        T = self.cfg.context_length
        with torch.random.fork_rng(devices=[]):
            x, y = self.pieces.ch2.get_batch(self.train_ids, max(1, TRIED_POSITIONS // T), T)

            def loss(added: list[str]) -> torch.Tensor:
                return self.loss(x, y, [*self.rungs, *added])

            faster = fast_train.are_faster(self.model, self.cfg, loss, self.processes.first, self.pieces)
        self.optimizer.zero_grad()
        self.rungs = [*self.rungs, *faster]

    def config(self) -> dict:
        return {
            "settings": dataclasses.asdict(self.settings),
            "model": dataclasses.asdict(self.cfg),
            "tokenizer": self.tokenizer_description,
            "corpus_sha256": self.corpus_sha256,
            "machine": {
                "device": str(self.device),
                "threads": self.threads,
                "processes": self.processes.count,
                "fast": self.rungs,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }

    def draw_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.pieces.ch2.get_batch(self.train_ids, self.settings.batch_size, self.cfg.context_length)

    def forward_backward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(x, y, self.rungs)
        loss.backward()
        return loss

    def loss(self, x: torch.Tensor, y: torch.Tensor, rungs: list[str]) -> torch.Tensor:
        head = self.model.out_head
        return fast_train.calc_loss(x, y, self.forward, head, self.device, rungs, self.pieces)

    def take_step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One step of all processes on a batch that all of them have."""
        rate = self.learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        with self.processes.own_randomness(self.settings.seed, self.step, self.device):
            loss = self.forward_backward(self.processes.share(x), self.processes.share(y))
        clip = nn.utils.clip_grad_norm_ if "clip" in self.rungs else self.pieces.ch6.clip_gradients
        clip(self.model.parameters(), MAX_GRADIENT_NORM)
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
        if "qkv" in self.rungs:  # chapter 7's cache knows three projections only
            steps = fast_generate.stream_texts(
                self.pieces, self.model, [self.sample_prompt], SAMPLE, [generator]
            )
            ids = [token for [token] in steps]
        else:
            ids = stream(self.pieces, self.model, self.sample_prompt, SAMPLE, generator)
        return self.tokenizer.decode([*self.sample_prompt, *ids])

    def batches(self):
        """An endless source of batches, to be entered."""
        if "prefetch" in self.rungs:
            return fast_train.fetched_ahead(
                self.train_ids, self.settings.batch_size, self.cfg, self.device, self.pieces
            )
        return nullcontext(self.draw_batch() for _ in repeat(None))

    def loop(self, folder: RunFolder, resume: bool) -> int:
        rows: list[dict] = []
        if resume:
            self.restore(folder)
            rows = folder.read_metrics(before_step=self.step)
        started = time.perf_counter() - (rows[-1]["seconds"] if rows else 0.0)
        steps, is_first = self.settings.steps, self.processes.is_first
        with (
            TrainDisplay(folder.path, steps, self.step, self.tokens_per_step, quiet=not is_first) as display,
            stop_signals(second_breaks_off=self.processes.count == 1) as stop,
            self.batches() as batches,
        ):
            display.say(self.describe(resume))
            if self.settings.fast:
                display.say(fast_train.describe(self.device, self.rungs))
            while True:
                at_end = self.step == steps
                if is_first and (at_end or self.step % self.settings.eval_every == 0):
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
                if at_end or self.processes.any(stop.is_set()):
                    break
                display.step(self.take_step(*next(batches)))
            if is_first and not at_end:
                self.keep(folder, rows)
        if is_first and rows:
            folder.write_plot(rows)
        if at_end:
            if is_first:
                display.finished(rows[-1])
            return 0
        if is_first:
            complain(f"course: stopped at step {self.step}; go on with the same command and --resume")
        return 130

    def describe(self, resume: bool) -> str:
        count = self.pieces.ch5.count_parameters(self.plain_model())
        machine = f"{self.device} with {self.threads} thread(s)"
        if self.processes.count > 1:
            machine = f"{self.processes.count} processes on {machine}"
        return f"{self.settings.size} on {self.settings.corpus}: {count:,} parameters, {machine}" + (
            f", from step {self.step}" if resume else ""
        )

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
        save_model(folder.model_file, self.plain_model(), self.cfg, self.tokenizer_description, notes)
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

    def plain_model(self) -> nn.Module:
        return fast_train.plain_model(self.model, self.cfg, self.pieces) if self.rungs else self.model

    def restore(self, folder: RunFolder) -> None:
        if folder.checkpoint_file.exists():  # else killed before the first one: the start is the same
            self.load(folder)
        self.processes.check_same_step(self.step, folder.checkpoint_file)

    def load(self, folder: RunFolder) -> None:
        try:
            self.step = self.pieces.ch6.load_checkpoint(folder.checkpoint_file, self.model, self.optimizer)
        except (OSError, RuntimeError, KeyError, ValueError, EOFError) as error:
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CourseError(
                f"{folder.checkpoint_file} cannot be read ({first_line}): start anew with --overwrite"
            ) from None


def first_character(text: str) -> str:
    return "\n" if "\n" in text else text[0]


def default_folder(corpus: str, size: str) -> Path:
    return Path("runs") / f"{Path(corpus).stem}-{size}"


if __name__ == "__main__":
    from .cli import main

    sys.argv = ["course", "train", *sys.argv[1:]]
    main()
