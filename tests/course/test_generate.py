"""`course generate`: the shipped model, runs and GPT-2 folders, and how it refuses."""

import itertools
import os
import shutil
from types import SimpleNamespace

import pytest
import torch

import solutions
from course import generate as generating
from course.generate import SHIPPED_MODEL, Sampling, stream, write_stream
from course.model_file import load_model, save_model
from course.pieces import load_pieces
from solutions.ch4.block import GPTConfig
from solutions.ch5.model import GPTModel, tie_weights
from solutions.ch7.sampling import generate


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def small_model(**sizes) -> tuple[GPTModel, GPTConfig]:
    cfg = GPTConfig(
        **({"vocab_size": 5, "context_length": 8, "emb_dim": 8, "n_heads": 2, "n_layers": 2} | sizes)
    )
    torch.manual_seed(0)
    model = GPTModel(cfg).eval()
    tie_weights(model)
    return model, cfg


def test_the_shipped_model_writes_at_once(course, capsys):
    assert SHIPPED_MODEL.stat().st_size < 2_000_000
    assert course("generate", "ROMEO:", "--max-tokens", "300", "--seed", "1") == 0
    speech = capsys.readouterr().out
    assert speech.startswith("ROMEO:") and len(speech) == len("ROMEO:") + 300 + 1
    words = speech.lower().split()
    known = {
        "the",
        "and",
        "to",
        "i",
        "of",
        "my",
        "a",
        "you",
        "that",
        "in",
        "is",
        "not",
        "with",
        "me",
        "it",
        "be",
    }
    assert sum(word in known for word in words) > len(words) / 10  # it has learnt some English

    assert course("generate", "ROMEO:", "--max-tokens", "300", "--seed", "1") == 0
    assert capsys.readouterr().out == speech
    assert course("generate", "ROMEO:", "--max-tokens", "300", "--seed", "2") == 0
    assert capsys.readouterr().out != speech


def test_the_shipped_model_predicts_shakespeare(shakespeare_text):
    """Its loss on text that it was not trained on, as its notes say."""
    pieces = load_pieces("solutions")
    model, tokenizer, about = load_model(SHIPPED_MODEL, pieces)
    val_loss = about["notes"]["val_loss"]
    _, val_ids = pieces.ch2.train_val_split(torch.tensor(tokenizer.encode(shakespeare_text)))
    loader = pieces.ch2.create_dataloader(val_ids, 64, 64, stride=64, shuffle=False, drop_last=False)
    assert pieces.ch6.calc_loss_loader(loader, model, "cpu", num_batches=10) == pytest.approx(
        val_loss, abs=0.1
    )
    assert val_loss < 1.8


def test_streaming_equals_generate_within_and_beyond_the_context():
    model, _ = small_model()
    pieces = load_pieces("solutions")
    sampling = Sampling(max_tokens=20, temperature=1.3, top_k=4, top_p=0.9)
    streamed = list(stream(pieces, model, [1, 2, 3], sampling, torch.Generator().manual_seed(5)))
    at_once = generate(
        model, torch.tensor([[1, 2, 3]]), 20, context_size=8, temperature=1.3, top_k=4, top_p=0.9,
        generator=torch.Generator().manual_seed(5),
    )  # fmt: skip
    assert [1, 2, 3, *streamed] == at_once[0].tolist()


def test_streaming_stops_at_the_end_of_the_text():
    model, _ = small_model()
    greedy = Sampling(max_tokens=20, temperature=0.0, top_k=None, top_p=None)
    pieces = load_pieces("solutions")
    tokens = list(stream(pieces, model, [1], greedy))
    end = tokens[5]
    expected = list(itertools.takewhile(lambda token: token != end, tokens))
    assert list(stream(pieces, model, [1], greedy, eos_id=end)) == expected


def test_a_character_cut_in_two_waits_for_its_other_half(capsys):
    writes = []
    tokenizer = SimpleNamespace(decode=lambda ids: bytes(ids).decode("utf-8", errors="replace"))

    def ids():
        for byte in "a€b".encode() + b"\xe2\x82":
            yield byte
            writes.append(capsys.readouterr().out)

    write_stream(tokenizer, ">", ids())
    assert writes == [">a", "", "", "€", "b", "", ""]
    assert capsys.readouterr().out == "�\n"  # what never became whole is shown at the end


def test_a_hugging_face_folder_gives_the_same_greedy_text(
    course, capsys, tmp_path, gpt2_tiktoken, monkeypatch
):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(3)
    reference = GPT2LMHeadModel(GPT2Config(n_embd=48, n_layer=3, n_head=6, n_positions=64)).eval()
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.normal_(std=0.3)
    reference.save_pretrained(tmp_path / "gpt2")
    prompt = gpt2_tiktoken.encode("Every effort moves you")
    expected = reference.generate(
        torch.tensor([prompt]), max_new_tokens=40, do_sample=False, pad_token_id=50256, eos_token_id=50256
    )[0].tolist()
    capsys.readouterr()

    options = ["--weights", str(tmp_path / "gpt2"), "--max-tokens", "40", "--temperature", "0"]
    assert course("generate", "Every effort moves you", *options) == 0
    assert capsys.readouterr().out == gpt2_tiktoken.decode(expected) + "\n"


def test_a_model_file_round_trips(tmp_path):
    model, cfg = small_model(drop_rate=0.5)
    save_model(tmp_path / "m.safetensors", model, cfg, {"kind": "char", "characters": "ab cd"}, {"step": 3})
    loaded, tokenizer, about = load_model(tmp_path / "m.safetensors", load_pieces("solutions"))
    ids = torch.tensor([[0, 4, 2]])
    assert torch.equal(loaded(ids), model(ids))
    assert loaded.out_head.weight is loaded.tok_emb.weight
    assert tokenizer.decode([0, 2, 4]) == "a d"
    assert about["notes"] == {"step": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "prompt is empty"),
        (["ROMEO é"], "'é'"),
        (["ROMEO:", "--temperature", "-1"], "--temperature -1"),
        (["ROMEO:", "--top-k", "0"], "--top-k 0"),
        (["ROMEO:", "--top-p", "1.5"], "--top-p 1.5"),
        (["ROMEO:", "--max-tokens", "-3"], "--max-tokens -3"),
        (["ROMEO:", "--device", "tpu"], "auto, cuda, mps or cpu"),
        (["ROMEO:", "--run", "nowhere"], "course train --to nowhere"),
        (["ROMEO:", "--run", "."], "course train"),
        (["ROMEO:", "--run", ".", "--weights", "gpt2"], "give one of them"),
        (["ROMEO:", "--weights", "no-such-folder"], "no-such-folder"),
    ],
)
def test_bad_input_is_one_line(refused, arguments, message):
    assert message in refused("generate", *arguments)


def test_a_truncated_or_foreign_model_file_is_refused(refused, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(SHIPPED_MODEL, run / "model.safetensors")
    os.truncate(run / "model.safetensors", 100_000)
    assert "not a whole model file" in refused("generate", "ROMEO:", "--run", "run")

    model, cfg = small_model()
    wider = GPTConfig(cfg.vocab_size, cfg.context_length, 16, cfg.n_heads, cfg.n_layers)
    save_model(run / "model.safetensors", model, wider, {"kind": "char", "characters": "ROME:"}, {})
    assert "does not fit" in refused("generate", "ROME:", "--run", "run")


def test_gpt2_without_network_is_one_line(refused, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert "--weights FOLDER" in refused("generate", "Hello", "--weights", "gpt2")


def test_in_a_hand_out_it_says_which_exercises_come_first(refused, tmp_path, monkeypatch):
    stubs = tmp_path / "stubs"
    shutil.copytree(solutions.__path__[0], stubs)
    sampling = stubs / "ch7" / "sampling.py"
    source = sampling.read_text(encoding="utf-8")
    assert source.count("return logits / temperature") == 1
    sampling.write_text(
        source.replace("return logits / temperature", "raise NotImplementedError"), encoding="utf-8"
    )
    assert "apply_temperature (ch7)" in refused("generate", "ROMEO:", "--pieces", "stubs")


def test_threads_are_measured_for_cpu_work(course, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(generating, "choose_threads", lambda threads, work: asked.append(threads))
    assert course("generate", "ROMEO:", "--threads", "1", "--max-tokens", "2", "--device", "cpu") == 0
    assert asked == [1]


def test_bare_course_says_what_to_do_next(course, capsys):
    assert course() == 0
    out = capsys.readouterr().out
    assert "course train" in out and "course generate" in out
    assert all(len(line) <= 80 for line in out.splitlines())
