"""Draw gives every machine the same numbers; the literals here were computed once and must never change."""

import math

import pytest
import torch
from torch import nn

from grader.draw import Draw
from grader.seeds import new_master, seed_for


def test_numbers_are_these_on_every_machine():
    draw = Draw(7)
    assert [x.hex() for x in draw.normal(3).tolist()] == [
        "0x1.17f2400000000p+0",
        "-0x1.e442300000000p-1",
        "-0x1.01a9200000000p-2",
    ]
    assert [x.hex() for x in draw.uniform(2, low=-1).tolist()] == [
        "-0x1.6a2b380000000p-1",
        "-0x1.dc50600000000p-1",
    ]
    assert draw.integers(0, 100, 4).tolist() == [96, 46, 89, 86]
    assert draw.integer(5, 9) == 5
    assert draw.number().hex() == "0x1.d079f80000000p-3"
    assert draw.permutation(6).tolist() == [1, 5, 4, 2, 3, 0]
    assert draw.choice("abc") == "a"
    assert draw.text(8) == "bcvplfvg"
    layer = draw.fill(nn.Linear(3, 2))
    assert layer.weight[0, 0].item().hex() == "-0x1.0a884e0000000p-1"
    assert layer.bias[0].item().hex() == "-0x1.0bf4300000000p-3"


def test_normals_have_the_moments_of_a_normal_and_are_exact():
    numbers = Draw(1).normal(100_000).double()
    assert abs(numbers.mean()) < 0.02
    assert abs(numbers.std() - 1) < 0.01
    assert abs((numbers**4).mean() - 3) < 0.2  # 2.9 for a sum of twelve uniforms
    assert torch.equal(numbers * 2**21, (numbers * 2**21).round())


def test_ranges_and_types():
    draw = Draw(3)
    uniform, integers = draw.uniform(50, 40, low=-2, high=3), draw.integers(-3, 3, 500)
    assert uniform.shape == (50, 40) and uniform.dtype == torch.float32
    assert -2 <= uniform.min() < -1.9 and 2.9 < uniform.max() < 3
    assert integers.dtype == torch.int64 and sorted(set(integers.tolist())) == [-3, -2, -1, 0, 1, 2]
    assert sorted(draw.permutation(40).tolist()) == list(range(40))
    assert type(draw.integer(0, 5)) is int and type(draw.number()) is float
    assert draw.normal().shape == ()
    with pytest.raises(ValueError, match="range"):
        draw.integers(2, 2, 1)


def test_each_call_is_new_and_other_methods_do_not_disturb_it():
    one, other = Draw("a"), Draw("a")
    first = one.normal(4)
    other.integers(0, 5, 3)
    other.fill(nn.Linear(2, 2))
    assert torch.equal(first, other.normal(4))
    assert not torch.equal(first, one.normal(4))
    assert not torch.equal(first, Draw("b").normal(4))


class OneOrder(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(8, 4, bias=False)
        self.key = nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.zeros(64))


class OtherOrder(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(64))
        self.key = nn.Linear(8, 4)
        self.register_buffer("mask", torch.full((3,), 5.0))
        self.query = nn.Linear(8, 4, bias=False)


def test_fill_goes_by_name_and_leaves_buffers():
    one, other = Draw(5).fill(OneOrder()), Draw(5).fill(OtherOrder())
    for name, parameter in one.named_parameters():
        assert torch.equal(parameter, other.get_parameter(name)), name
    assert not torch.equal(one.query.weight, one.key.weight)
    assert torch.equal(other.mask, torch.full((3,), 5.0))
    assert one.query.weight.requires_grad


def test_fill_scales_sensibly():
    layer = Draw(5).fill(nn.Linear(400, 300))
    module = Draw(5).fill(OneOrder())
    assert math.isclose(layer.weight.std().item(), 1 / 20, rel_tol=0.02)
    assert abs(module.scale.mean() - 1) < 0.1 and module.scale.std() > 0.1
    assert abs(layer.bias.mean()) < 0.1


def test_fill_of_tied_parameters_does_not_depend_on_which_name_comes_first():
    def tied(first: str, second: str) -> nn.Module:
        module = nn.Module()
        weight = nn.Parameter(torch.zeros(5, 3))
        module.register_parameter(first, weight)
        module.register_parameter(second, weight)
        return Draw(1).fill(module)

    assert torch.equal(tied("head", "tokens").head, tied("tokens", "head").head)


def test_all_goes_to_the_device():
    draw = Draw(1, device="meta")
    made = [draw.normal(2), draw.uniform(2), draw.integers(0, 5, 2), draw.permutation(3), draw.tensor([1.0])]
    made += [draw.fill(OtherOrder()).mask]
    assert {tensor.device.type for tensor in made} == {"meta"}


def test_fill_wants_a_module():
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module, got int"):
        Draw(1).fill(3)


def test_seeds_differ_by_master_chapter_and_check():
    seeds = {seed_for(m, c, k) for m in ("public", "x") for c in ("ch1", "ch3") for k in ("a", "b")}
    assert len(seeds) == 8 and all(0 <= seed < 2**63 for seed in seeds)
    assert seed_for("public", "ch3", "a") != seed_for("public", "ch", "3a")
    assert new_master() != new_master()
