"""Where to compute: which device, and on a CPU with how many threads."""

import os
import time
from collections.abc import Callable

import torch

from .errors import CourseError


def choose_device(name: str) -> torch.device:
    """The device of that name; "auto" takes CUDA before MPS before the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cuda", "mps", "cpu"):
        raise CourseError(f"there is no device {name!r}: choose auto, cuda, mps or cpu")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CourseError("device cuda is not there (no GPU, or a torch without CUDA): use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise CourseError(f"device {name} is not there: this machine has {torch.cuda.device_count()} GPU(s)")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise CourseError("device mps is not there (Apple's GPUs only): use --device cpu")
    return device


def available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4, … and the number of cores itself."""
    counts = [2**i for i in range(cores.bit_length()) if 2**i <= cores]
    return counts if counts[-1] == cores else [*counts, cores]


def choose_threads(asked: int | None, work: Callable[[], object]) -> int:
    """Set the number of threads for CPU work, and say how many.

    An explicit number or OMP_NUM_THREADS wins. Otherwise measure: run `work` a few times with each
    likely number and take the fewest threads that come within a tenth of the fastest. Asking for
    all cores can be several times slower than asking for one where others use them too.
    """
    if asked is not None:
        if asked < 1:
            raise CourseError(f"--threads {asked} is not at least 1")
        torch.set_num_threads(asked)
        return asked
    if "OMP_NUM_THREADS" in os.environ or available_cores() == 1:
        return torch.get_num_threads()
    seconds = {}
    for round_number in range(4):  # the first round warms up
        for threads in thread_counts(available_cores()):
            torch.set_num_threads(threads)
            start = time.perf_counter()
            work()
            if round_number > 0:
                seconds[threads] = min(seconds.get(threads, float("inf")), time.perf_counter() - start)
    fewest = min(threads for threads in seconds if seconds[threads] <= 1.1 * min(seconds.values()))
    torch.set_num_threads(fewest)
    return fewest
