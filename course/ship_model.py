"""Put a run's model into the package, in float16: what `course generate` uses by default.

python -m course.ship_model RUN
"""

import sys
from pathlib import Path

import torch

from .generate import SHIPPED_MODEL
from .model_file import load_model, save_model
from .pieces import load_pieces


def ship(run: Path) -> None:
    pieces = load_pieces()
    model, _, about = load_model(run / "model.safetensors", pieces)
    notes = about["notes"]
    notes["made_by"] = f"course train {notes['corpus']} --size {notes['size']} --steps {notes['step']}"
    cfg = pieces.ch4.GPTConfig(**about["config"])
    save_model(SHIPPED_MODEL, model, cfg, about["tokenizer"], notes, torch.float16)
    print(f"{SHIPPED_MODEL}: {SHIPPED_MODEL.stat().st_size:,} bytes, {notes}")


if __name__ == "__main__":
    ship(Path(sys.argv[1]))
