"""Sharding: several processes that do not all keep everything.

    python -m course.reading.sharded

In data parallel every process holds the whole model, its gradients, and AdamW's two memories of them: in
float32 16 bytes a parameter, the same in each process. The memories can be divided first: each process keeps
those of its own part of the parameters, steps that part, and hands the new weights to the others (ZeRO,
stage 1). Gradients can be divided the same way (stage 2), and in the end the weights (stage 3, "fully
sharded"): then a process fetches a layer's weights from the others just before it needs them, and lets go of
them afterwards. Each stage takes less memory; the last one sends more.

This script trains a small GPT in two processes, with the optimizer divided by hand and then fully sharded by
torch, and prints how far the weights are from those of a single process, and what each process keeps.
"""

import argparse
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from ..pieces import load_pieces
from .data_parallel import PROCESSES, ROWS, STEPS, average_gradients, start_model, train, whole_batches


def train_zero1(model: nn.Module, pieces, rank: int) -> int:
    """Each process steps every second parameter and broadcasts it. Returns the bytes of AdamW's memories."""
    parameters = list(model.parameters())
    own = parameters[rank::PROCESSES]
    optimizer = torch.optim.AdamW(own, lr=1e-3)
    rows = slice(rank * ROWS // PROCESSES, (rank + 1) * ROWS // PROCESSES)
    for x, y in whole_batches():
        model.zero_grad()
        pieces.ch6.calc_loss_batch(x[rows], y[rows], model, "cpu").backward()
        average_gradients(model)
        optimizer.step()
        for number, parameter in enumerate(parameters):
            dist.broadcast(parameter.data, src=number % PROCESSES)
    return memory_of(optimizer)


def train_fully_sharded(model: nn.Module, pieces, rank: int) -> tuple[int, int]:
    """Returns the bytes of weights, and of AdamW's memories, that this process keeps between two steps."""
    mesh = init_device_mesh("cpu", (PROCESSES,))
    for block in model.trf_blocks:
        fully_shard(block, mesh=mesh)  # fetched and let go block by block
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rows = slice(rank * ROWS // PROCESSES, (rank + 1) * ROWS // PROCESSES)
    for x, y in whole_batches():
        optimizer.zero_grad()
        pieces.ch6.calc_loss_batch(x[rows], y[rows], model, "cpu").backward()
        optimizer.step()
    weights = sum(parameter.to_local().nbytes for parameter in model.parameters())
    return weights, memory_of(optimizer)


def memory_of(optimizer: torch.optim.Optimizer) -> int:
    memories = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")]
    return sum(getattr(memory, "_local_tensor", memory).nbytes for memory in memories)


def process(rank: int, folder: str, package: str | None) -> None:
    torch.set_num_threads(1)
    meeting = Path(folder, "meeting").as_uri()
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=PROCESSES)
    pieces = load_pieces(package)
    zero1, sharded = start_model(pieces), start_model(pieces)
    memories = train_zero1(zero1, pieces, rank)
    weights, few_memories = train_fully_sharded(sharded, pieces, rank)
    whole = {name: parameter.full_tensor() for name, parameter in sharded.named_parameters()}
    if rank == 0:
        kept = {"zero1": memories, "sharded weights": weights, "sharded memories": few_memories}
        torch.save([zero1.state_dict(), whole, kept], f"{folder}/weights")
    dist.barrier()  # nobody leaves before all are done
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description="Two processes share one model and its optimizer.")
    parser.add_argument("--pieces", help="package of the chapters [the reference, or your exercises]")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pieces = load_pieces(args.pieces)
    single = start_model(pieces)
    train(single, pieces)

    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(process, (folder, args.pieces), nprocs=PROCESSES)
        zero1, sharded, kept = torch.load(Path(folder) / "weights", weights_only=True)

    all_weights = 4 * pieces.ch5.count_parameters(single) / 1e3
    kilobytes = {name: size / 1e3 for name, size in kept.items()}
    print(f"{STEPS} steps; weights are {all_weights:.0f} kB, AdamW's memories {2 * all_weights:.0f} kB")
    for name, state in (("optimizer divided (ZeRO 1)", zero1), ("fully sharded", sharded)):
        apart = max((state[key] - tensor).abs().max() for key, tensor in single.named_parameters())
        print(f"{PROCESSES} processes, {name}: at most {apart:.1e} away from the single one")
    print(f"kept by the first process, ZeRO 1: all weights, {kilobytes['zero1']:.0f} kB of memories")
    print(
        f"kept by the first process, fully sharded: {kilobytes['sharded weights']:.0f} kB of weights,"
        f" {kilobytes['sharded memories']:.0f} kB of memories"
    )


if __name__ == "__main__":
    main()
