"""Weights from files: Hugging Face's folders and OpenAI's TensorFlow checkpoint, whole and broken."""

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from course.errors import CourseError
from course.tf_checkpoint import crc32c, masked, params_from_tf, read_table, read_tf_checkpoint
from course.weights import load_gpt2, load_gpt2_tokenizer
from solutions.ch1 import tokenizer as ch1
from solutions.ch5 import model as ch5
from solutions.ch7.sampling import generate_text
from solutions.ch8 import gpt2 as ch8

PIECES = SimpleNamespace(ch1=ch1, ch5=ch5, ch8=ch8)
TF_FOLDER = Path(__file__).parent / "tf_gpt2_tiny"
HPARAMS = {"n_vocab": 101, "n_ctx": 16, "n_embd": 32, "n_head": 4, "n_layer": 2}


@pytest.fixture(scope="module")
def transformers():
    os.environ["HF_HUB_OFFLINE"] = "1"
    import transformers

    return transformers


@pytest.fixture(scope="module")
def hf(transformers):
    """A small GPT-2 of Hugging Face's with random weights."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 300, "n_positions": 24, "n_embd": 48, "n_layer": 3, "n_head": 6}
    config = transformers.GPT2Config(**sizes, bos_token_id=None, eos_token_id=None)
    model = transformers.GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@pytest.fixture
def folder(hf, tmp_path):
    hf.save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def tf_folder(tmp_path):
    shutil.copytree(TF_FOLDER, tmp_path / "tf")
    (tmp_path / "tf" / "hparams.json").write_text(json.dumps(HPARAMS))
    return tmp_path / "tf"


@torch.no_grad()
def assert_same_model(folder, hf):
    gpt, cfg = load_gpt2(folder, PIECES)
    config = hf.config
    sizes = (config.vocab_size, config.n_positions, config.n_embd, config.n_head, config.n_layer)
    assert (cfg.vocab_size, cfg.context_length, cfg.emb_dim, cfg.n_heads, cfg.n_layers) == sizes
    assert cfg.qkv_bias and not gpt.training

    torch.manual_seed(1)
    ids = torch.randint(cfg.vocab_size, (3, cfg.context_length))
    torch.testing.assert_close(gpt(ids), hf(ids).logits, atol=1e-4, rtol=0)
    prompt, T = ids[:, :5], cfg.context_length
    theirs = hf.generate(prompt, attention_mask=torch.ones_like(prompt), max_length=T, do_sample=False)
    assert generate_text(gpt, prompt, T - 5, T).tolist() == theirs.tolist()


def error_of(*arguments):
    with pytest.raises(CourseError) as caught:
        load_gpt2(*arguments)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    return message


# Hugging Face


def test_a_folder_that_transformers_wrote(folder, hf):
    assert (folder / "model.safetensors").is_file()
    assert_same_model(folder, hf)
    assert_same_model(str(folder), hf)


def test_a_folder_in_shards(hf, tmp_path):
    hf.save_pretrained(tmp_path, max_shard_size="100KB")
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) > 2
    assert_same_model(tmp_path, hf)
    shards[1].unlink()
    assert shards[1].name in error_of(tmp_path, PIECES)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("prefix", ["transformer.", ""], ids=["prefix", "bare"])
def test_pytorch_model_bin_with_its_buffers(folder, hf, prefix, zipped):
    (folder / "model.safetensors").unlink()
    state = {name.replace("transformer.", prefix): tensor for name, tensor in hf.state_dict().items()}
    for i in range(3):
        state[f"{prefix}h.{i}.attn.bias"] = torch.ones(1, 1, 24, 24, dtype=torch.uint8).tril()
        state[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert_same_model(folder, hf)


def test_the_context_comes_from_the_weights(folder, hf):
    config = json.loads((folder / "config.json").read_text())
    config["n_positions"] = 1024
    (folder / "config.json").write_text(json.dumps(config))
    assert_same_model(folder, hf)


def test_a_file_of_float16_loads_as_float32(folder, hf):
    path = folder / "model.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(path).items()}, path)
    gpt, _ = load_gpt2(folder, PIECES)
    assert gpt.tok_emb.weight.dtype == torch.float32
    assert torch.equal(gpt.tok_emb.weight, hf.transformer.wte.weight.half().float())


# TensorFlow


@torch.no_grad()
def test_the_tensorflow_checkpoint_against_transformers(transformers, tf_folder):
    config = transformers.GPT2Config(
        vocab_size=101, n_positions=16, n_embd=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=None
    )
    oracle = transformers.GPT2LMHeadModel(config).eval()
    arrays = np.load(TF_FOLDER / "expected.npz")
    places = dict(oracle.transformer.named_parameters())
    for name in arrays:
        theirs = name.removeprefix("model|").replace("h0|", "h.0|").replace("h1|", "h.1|").split("|")
        if theirs[-1] in ("w", "g", "b"):
            theirs[-1] = "bias" if theirs[-1] == "b" else "weight"
        else:
            theirs.append("weight")
        parameter = places.pop(".".join(theirs))
        parameter.copy_(torch.from_numpy(arrays[name]).reshape(parameter.shape))
    assert not places
    assert_same_model(tf_folder, oracle)


def test_variables_equal_those_that_tensorflow_wrote():
    variables = read_tf_checkpoint(TF_FOLDER)
    expected = np.load(TF_FOLDER / "expected.npz")
    assert set(variables) == {name.replace("|", "/") for name in expected}
    for name in expected:
        np.testing.assert_array_equal(variables[name.replace("|", "/")], expected[name], strict=True)


def test_reading_needs_no_checkpoint_file_if_there_is_one_index(tf_folder):
    (tf_folder / "checkpoint").unlink()
    assert len(read_tf_checkpoint(tf_folder)) == 28
    shutil.copy(tf_folder / "model.ckpt.index", tf_folder / "other.index")
    with pytest.raises(CourseError, match="2 checkpoints"):
        read_tf_checkpoint(tf_folder)
    (tf_folder / "checkpoint").write_text('model_checkpoint_path: "/home/them/model.ckpt"\n')
    assert len(read_tf_checkpoint(tf_folder)) == 28
    (tf_folder / "model.ckpt.index").unlink()
    with pytest.raises(CourseError, match="is missing"):
        read_tf_checkpoint(tf_folder)


def test_crc32c_of_the_standards_test_vectors():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(bytes(range(32))) == 0x46DD794E


def test_no_damage_to_the_index_goes_unseen(tf_folder):
    """Cut it anywhere, change any byte: one clear error, or a byte that carries nothing."""
    index = (tf_folder / "model.ckpt.index").read_bytes()
    whole = read_tf_checkpoint(tf_folder)
    places = range(0, len(index), 3)
    damaged = [index[:size] for size in places]
    damaged += [index[:i] + bytes([index[i] ^ 0x55]) + index[i + 1 :] for i in places]
    unseen = 0
    for content in damaged:
        (tf_folder / "model.ckpt.index").write_bytes(content)
        try:
            variables = read_tf_checkpoint(tf_folder)
        except CourseError as error:
            assert "\n" not in str(error)
        else:
            unseen += 1
            assert variables.keys() == whole.keys()
            assert all(np.array_equal(variables[name], whole[name]) for name in whole)
    assert unseen < 20  # the metaindex, which is empty, and the footer's padding


BLOCK_END = 884  # of the fixture's one data block; its type and checksum follow


def change_block(index, old, new):
    """The index with bytes of its data block changed and the block's checksum made right again."""
    block = index[:BLOCK_END].replace(old, new, 1)
    assert len(block) == BLOCK_END and block != index[:BLOCK_END]
    checksum = masked(crc32c(block + b"\x00")).to_bytes(4, "little")
    return block + b"\x00" + checksum + index[BLOCK_END + 5 :]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\x08\x01\x12\x04\x12\x02\x08\x60", b"\x08\x09\x12\x04\x12\x02\x08\x60", "c_attn/b .* is int64"),
        (b"\x08\x01\x12\x04\x12\x02\x08\x60", b"\x08\x01\x12\x04\x12\x02\x08\x61", r"shape \(97,\), but 384"),
        (b"\x08\x01\x1a\x02\x08\x01", b"\x08\x02\x1a\x02\x08\x01", "several"),
        (b"\x08\x01\x1a\x02\x08\x01", b"\x08\x01\x10\x01\x20\x00", "big-endian"),
    ],
)
def test_checkpoints_of_another_kind_are_refused(tf_folder, old, new, message):
    index = (tf_folder / "model.ckpt.index").read_bytes()
    (tf_folder / "model.ckpt.index").write_bytes(change_block(index, old, new))
    with pytest.raises(CourseError, match=message):
        read_tf_checkpoint(tf_folder)


def test_compressed_blocks_are_refused_by_name(tf_folder):
    index = bytearray((tf_folder / "model.ckpt.index").read_bytes())
    index[BLOCK_END] = 1  # snappy
    (tf_folder / "model.ckpt.index").write_bytes(index)
    assert "compressed" in error_of(tf_folder, PIECES)


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def write_table(entries, entries_a_block):
    """A LevelDB table, without prefix compression: many blocks, where the fixture has one."""
    table, handles = b"", []

    def add_block(entries):
        nonlocal table
        block = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries)
        block += bytes(4) + (1).to_bytes(4, "little")  # one restart point, at 0
        handle = varint(len(table)) + varint(len(block))
        table += block + b"\x00" + masked(crc32c(block + b"\x00")).to_bytes(4, "little")
        return handle

    for first in range(0, len(entries), entries_a_block):
        some = entries[first : first + entries_a_block]
        handles.append((some[-1][0], add_block(some)))
    footer = add_block([]) + add_block(handles)
    return table + footer.ljust(40, b"\x00") + 0xDB4775248B80FB57.to_bytes(8, "little")


@pytest.mark.parametrize("entries_a_block", [1, 5, 400])
def test_a_table_of_many_blocks(entries_a_block):
    entries = [(f"model/h{i // 10:02}/{i:04}".encode(), bytes([i % 256]) * i) for i in range(300)]
    assert list(read_table(write_table(entries, entries_a_block))) == entries


@pytest.mark.parametrize("size", [0, 1, 5000, 116863])
def test_truncated_tensorflow_data(tf_folder, size):
    with open(tf_folder / "model.ckpt.data-00000-of-00001", "r+b") as data:
        data.truncate(size)
    assert f"has {size} bytes instead of 116864" in error_of(tf_folder, PIECES)
    (tf_folder / "model.ckpt.data-00000-of-00001").unlink()
    assert "is missing" in error_of(tf_folder, PIECES)


def test_variables_that_are_not_gpt2s():
    variables = read_tf_checkpoint(TF_FOLDER)
    del variables["model/h1/mlp/c_fc/w"]
    variables["model/h0/attn/c_attn/w/Adam"] = np.zeros((1, 32, 96))
    with pytest.raises(CourseError) as caught:
        params_from_tf(variables)
    assert "missing model/h1/mlp/c_fc/w;" in str(caught.value)
    assert "unexpected model/h0/attn/c_attn/w/Adam (1, 32, 96)" in str(caught.value)


# what goes wrong


def test_no_folder_and_no_files(tmp_path):
    assert "no folder" in error_of(tmp_path / "absent", PIECES)
    (tmp_path / "file").write_text("text")
    assert "no folder" in error_of(tmp_path / "file", PIECES)
    assert "neither config.json nor hparams.json" in error_of(tmp_path, PIECES)
    (tmp_path / "hparams.json").write_text(json.dumps(HPARAMS))
    assert "0 checkpoints" in error_of(tmp_path, PIECES)


def test_a_name_is_downloaded(folder, hf, monkeypatch):
    asked = []
    monkeypatch.setattr("course.weights.download_gpt2", lambda name: asked.append(name) or folder)
    assert_same_model("gpt2-medium", hf)
    assert asked == ["gpt2-medium"]


def test_files_that_may_not_be_read(tf_folder, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(np, "memmap", refuse)
    assert error_of(tf_folder, PIECES).endswith("tf cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 2, "vocab_size": 299}, "it says vocab_size 299 instead of 300, n_layers 2 instead of 3"),
        ({"n_embd": 768}, "emb_dim 768 instead of 48"),
        ({"n_head": 7}, "not a multiple"),
        ({"n_head": 0}, "n_head is 0"),
        ({"n_head": "6"}, "n_head is '6'"),
        ({"n_layer": True}, "n_layer is True"),
        ({"resid_pdrop": "some"}, "resid_pdrop is 'some'"),
        ({"resid_pdrop": 2}, "2"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"model_type": "llama"}, "'llama'"),
    ],
    ids=str,
)
def test_a_config_that_does_not_fit(folder, change, message):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    assert message in error_of(folder, PIECES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not text"),
        (b"[]", "JSON object"),
        (b"{}", "lacks vocab_size, n_positions, n_embd, n_head, n_layer"),
    ],
)
def test_a_config_that_is_none(folder, content, message):
    (folder / "config.json").write_bytes(content)
    assert message in error_of(folder, PIECES)


@pytest.mark.parametrize("size", [0, 4, 100, 3000, -1])
def test_truncated_safetensors(folder, size):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert "model.safetensors is damaged" in error_of(folder, PIECES)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("size", [0, 1, 100, 3000, -1])
def test_truncated_bin(folder, hf, size, zipped):
    (folder / "model.safetensors").unlink()
    path = folder / "pytorch_model.bin"
    torch.save(hf.state_dict(), path, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[:size])
    assert "pytorch_model.bin is damaged" in error_of(folder, PIECES)


class Shout:
    def __reduce__(self):
        return print, ("a pickle ran code",)


def test_a_bin_that_is_no_state_dict(folder, hf, capsys):
    (folder / "model.safetensors").unlink()
    assert "neither model.safetensors nor pytorch_model.bin" in error_of(folder, PIECES)
    torch.save({"wte.weight": Shout()}, folder / "pytorch_model.bin")
    assert "damaged or holds no weights" in error_of(folder, PIECES)
    assert capsys.readouterr().out == ""
    for content in ({"state_dict": hf.state_dict()}, [torch.zeros(2)], {1: torch.zeros(2)}):
        torch.save(content, folder / "pytorch_model.bin")
        assert "does not hold tensors by name" in error_of(folder, PIECES)


def test_tensors_of_wrong_shapes_are_one_short_line(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    for name in tensors:
        if "c_proj" in name:
            tensors[name] = tensors[name][:7].clone()
    save_file(tensors, path)
    message = error_of(folder, PIECES)
    assert "blocks.0.attn.c_proj.w has shape (7, 48), the model has (48, 48)" in message
    assert message.endswith("more")


def test_missing_and_unexpected_tensors_are_one_line(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["score.weight"] = torch.zeros(2, 48)
    del tensors["transformer.ln_f.bias"], tensors["transformer.wte.weight"]
    save_file(tensors, path)
    message = error_of(folder, PIECES)
    assert "ln_f.bias is missing" in message and "wte.weight is missing" in message
    assert "score.weight (2, 48) is unexpected" in message


def test_embeddings_that_are_no_matrices(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["transformer.wpe.weight"] = torch.zeros(24)
    save_file(tensors, path)
    assert "wpe (24,) should be matrices" in error_of(folder, PIECES)


# tokenizers beside the weights


@pytest.fixture(scope="module")
def small_tokenizer(transformers):
    """Hugging Face's tokenizer with GPT-2's bytes and a few merges of its own."""
    from tokenizers.pre_tokenizers import ByteLevel

    merges = [("h", "e"), ("Ġ", "t"), ("Ġt", "he"), ("l", "l"), ("Ã", "©"), ("#", "#")]
    tokens = sorted(ByteLevel.alphabet()) + [left + right for left, right in merges] + ["<|endoftext|>"]
    vocab = {token: id for id, token in enumerate(tokens)}
    return vocab, merges, transformers.GPT2Tokenizer(vocab=vocab, merges=merges)


TEXT = "the hell, the café\n## 1 <|endoftext|> 世界"


FILE_NAMES = [("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"), None]


@pytest.mark.parametrize("names", FILE_NAMES, ids=str)
def test_the_tokenizer_beside_the_weights(small_tokenizer, tmp_path, names):
    vocab, merges, theirs = small_tokenizer
    if names:
        (tmp_path / names[0]).write_text(json.dumps(vocab), encoding="utf-8")
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in merges), ""]
        (tmp_path / names[1]).write_text("\n".join(lines), encoding="utf-8")
    else:
        theirs.save_pretrained(tmp_path)
        assert (tmp_path / "tokenizer.json").is_file()
    ours = load_gpt2_tokenizer(tmp_path, PIECES)
    ids = ours.encode(TEXT)
    assert ids == theirs.encode(TEXT)
    assert vocab["<|endoftext|>"] in ids and vocab["Ġthe"] in ids
    assert ours.decode(ids) == TEXT


def test_without_files_it_is_gpt2s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "tokenizer.json").write_text("{}")  # a folder ./gpt2, not what the name means
    for source in (tmp_path, "gpt2"):
        tokenizer = load_gpt2_tokenizer(source, PIECES)
        assert tokenizer.encode("Every effort moves you") == [6109, 3626, 6100, 345]


@pytest.mark.parametrize(
    ("vocab", "merges", "message"),
    [
        ({"a": 0, "b": 1, "ab": 2}, "a b", "has no id"),
        ({"a b": 0}, "", "byte-level"),
        ({"a": None}, "", "byte-level"),
        ({"a": 0, "b": 1}, "a b c", "byte-level"),
        ({"a": 0}, "a b", "byte-level"),
    ],
    ids=str,
)
def test_broken_tokenizer_files(tmp_path, vocab, merges, message):
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    (tmp_path / "merges.txt").write_text(merges)
    with pytest.raises(CourseError, match=message):
        load_gpt2_tokenizer(tmp_path, PIECES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"type": "WordPiece"}}, "another way"),
        ({"pre_tokenizer": None}, "another way"),
        ({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, "another way"),
        ({"normalizer": {"type": "NFC"}}, "another way"),
        ({"model": []}, "not a tokenizer's file"),
    ],
    ids=str,
)
def test_tokenizer_json_of_another_kind(small_tokenizer, tmp_path, change, message):
    small_tokenizer[2].save_pretrained(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    (tmp_path / "tokenizer.json").write_text(json.dumps(content | change))
    with pytest.raises(CourseError, match=message):
        load_gpt2_tokenizer(tmp_path, PIECES)
