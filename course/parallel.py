"""Several processes that train one model together, each on its share of every batch.

    torchrun --standalone --nproc-per-node 2 -m course.train shakespeare --to runs/two

torchrun starts the processes and tells each by its environment who it is. All have the same weights and draw
the same batches, of which each takes its own rows; in the backward pass they average their gradients. So all
take the same step, and only the first one looks and writes. A process alone is one of 1.
"""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .errors import CourseError
from .screen import complain

FROM_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
PATIENCE = timedelta(hours=12)  # the others wait while the first one looks, however slow the machine


class Processes:
    """Which of how many processes this one is, and what they do together."""

    def __init__(self, rank: int = 0, count: int = 1, local_rank: int = 0):
        self.rank, self.count, self.local_rank = rank, count, local_rank

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def device(self, name: str) -> str:
        """On a machine with several GPUs each process takes its own."""
        if self.count == 1 or name not in ("auto", "cuda") or not torch.cuda.is_available():
            return name
        if self.local_rank < torch.cuda.device_count():  # else the choice of the device refuses it
            torch.cuda.set_device(self.local_rank)
        return f"cuda:{self.local_rank}"

    def check_batch_size(self, batch_size: int) -> None:
        if batch_size % self.count != 0:
            raise CourseError(
                f"--batch-size {batch_size} cannot be shared evenly by {self.count} processes: "
                f"take a multiple of {self.count}"
            )

    def share(self, rows: Tensor) -> Tensor:
        """This process's rows of a batch."""
        return rows.chunk(self.count)[self.rank]

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The same module, whose gradients become the mean over all processes in the backward pass."""
        if self.count == 1:
            return module
        own_gpu = [device] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=own_gpu)

    def own_randomness(self, seed: int, step: int, device: torch.device):
        """Within it each process drops other numbers, without touching the source of the common batches."""
        return nullcontext() if self.count == 1 else self._own_randomness(seed, step, device)

    @contextmanager
    def _own_randomness(self, seed: int, step: int, device: torch.device) -> Iterator[None]:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            # a function of the step alone, so that a resumed run drops the same
            torch.manual_seed((seed << 40 ^ step << 12 ^ self.rank) % 2**63)
            yield

    def any(self, flag: bool) -> bool:
        """Whether it is true in at least one process; all must ask."""
        if self.count == 1:
            return flag
        flags = torch.tensor(int(flag))  # on the CPU, so that no GPU has to be waited for
        dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return bool(flags)

    def check_same_step(self, step: int, checkpoint: Path) -> None:
        """All processes have to go on from the same checkpoint; on several machines one may not see it."""
        if self.any(self.count > 1 and step != self.first(step)):
            raise CourseError(
                f"not all processes see the same {checkpoint}: "
                "put the run folder on a disk that all machines share"
            )

    def first(self, number: int) -> int:
        """The first process's number."""
        if self.count == 1:
            return number
        numbers = torch.tensor(number)
        dist.broadcast(numbers, src=0)
        return int(numbers)


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """This process and the others that torchrun started with it; only the first one to fail speaks.

    When it fails, the others do too, because they wait for it in vain, and torchrun ends what is left.
    """
    if not all(name in os.environ for name in FROM_TORCHRUN) or os.environ["WORLD_SIZE"] == "1":
        yield Processes()
        return
    store, rank, count = next(dist.rendezvous("env://", timeout=PATIENCE))
    # gloo serves the CPU's tensors on both kinds of machine
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
        processes = Processes(rank, count, int(os.environ["LOCAL_RANK"]))
        yield processes
        processes.any(False)  # nobody leaves before all are done
    except Exception as error:
        if is_first_to_fail(store):
            who = "" if isinstance(error, CourseError) else f"process {rank} of {count} failed: "
            complain(f"course: {who}{in_one_line(error)}")
        raise SystemExit(2) from None
    dist.destroy_process_group()


def is_first_to_fail(store: dist.Store) -> bool:
    try:
        return store.add("course/failures", 1) == 1
    except (RuntimeError, ConnectionError):
        return False  # the process that held the store has ended, with a word of its own


def in_one_line(error: Exception) -> str:
    if isinstance(error, CourseError):
        return str(error)
    what = next((line for line in str(error).splitlines() if line.strip()), "")
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {what} ({Path(place.filename).name}, line {place.lineno})"
