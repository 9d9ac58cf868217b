"""Data parallel: several processes, each with the whole model and a part of the batch.

    python -m course.reading.data_parallel

The gradient of a mean over a batch is the mean of the gradients over its parts. accumulate_gradients of
chapter 9 uses that to go through the parts one after the other; here several processes go through one part
each, at the same time. After the backward pass every process has gradients of its own part; all_reduce makes
their mean and gives it to all. So all take the same step, from the same weights to the same weights, and
nothing else has to be sent.

What is sent is as large as the model, in every step, however large the batch: so data parallel pays when the
computing of a part takes longer than the sending. DistributedDataParallel does both at once: it sends the
gradients of the last layers while those of the first ones are still being computed.

This script trains a small GPT in one process on whole batches, in two processes with all_reduce written out,
and in two with DistributedDataParallel, and prints how far the weights of the three are apart.
"""

import argparse
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..pieces import load_pieces

PROCESSES, STEPS, ROWS = 2, 10, 8


def start_model(pieces) -> nn.Module:
    """The same weights in every process."""
    torch.manual_seed(1)
    cfg = pieces.ch4.GPTConfig(65, context_length=32, emb_dim=48, n_heads=4, n_layers=2)
    model = pieces.ch5.GPTModel(cfg)
    pieces.ch5.init_weights(model)
    return model


def whole_batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The same batches in every process, of which each takes its own rows."""
    generator = torch.Generator().manual_seed(2)
    return [tuple(torch.randint(65, (2, ROWS, 32), generator=generator)) for _ in range(STEPS)]


def average_gradients(model: nn.Module) -> None:
    """Every process gets the mean of the gradients of all."""
    for parameter in model.parameters():
        dist.all_reduce(parameter.grad, op=dist.ReduceOp.SUM)
        parameter.grad /= dist.get_world_size()


def train(model: nn.Module, pieces, rank: int = 0, processes: int = 1, by_hand: bool = False) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rows = slice(rank * ROWS // processes, (rank + 1) * ROWS // processes)
    for x, y in whole_batches():
        optimizer.zero_grad()
        pieces.ch6.calc_loss_batch(x[rows], y[rows], model, "cpu").backward()
        if by_hand:
            average_gradients(model)
        optimizer.step()


def process(rank: int, folder: str, package: str | None) -> None:
    """What each process runs; the first one writes down its weights."""
    torch.set_num_threads(1)
    meeting = Path(folder, "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    pieces = load_pieces(package)
    by_hand, wrapped = start_model(pieces), start_model(pieces)
    train(by_hand, pieces, rank, PROCESSES, by_hand=True)
    train(DistributedDataParallel(wrapped), pieces, rank, PROCESSES)
    if rank == 0:
        torch.save([by_hand.state_dict(), wrapped.state_dict()], f"{folder}/weights")
    dist.barrier()  # nobody leaves before all are done
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description="Two processes train as one does.")
    parser.add_argument("--pieces", help="package of the chapters [the reference, or your exercises]")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pieces = load_pieces(args.pieces)
    single = start_model(pieces)
    before = nn.utils.parameters_to_vector(single.parameters()).detach().clone()
    train(single, pieces)

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, (folder, args.pieces), nprocs=PROCESSES)
        states = torch.load(Path(folder) / "weights", weights_only=True)

    after = nn.utils.parameters_to_vector(single.parameters()).detach()
    print(f"{STEPS} steps of {ROWS} rows; the largest change of a weight: {(after - before).abs().max():.2e}")
    for name, state in zip(("all_reduce by hand", "DistributedDataParallel"), states, strict=True):
        apart = max((state[key] - tensor).abs().max() for key, tensor in single.state_dict().items())
        print(f"{PROCESSES} processes, {name}: at most {apart:.1e} away from the single one")
    sent = 4 * pieces.ch5.count_parameters(single)
    print(f"each step sends {sent / 1e6:.1f} MB of gradients from each process, whatever the batch")


if __name__ == "__main__":
    main()
