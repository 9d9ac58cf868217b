"""Parts of a solution are found in a hand-out, however they are written there; ordinary code is not."""

import pytest

from grader.leaks import HandOutIndex

SOLUTION = '''\
"""A chapter."""

import torch

given = [min(max(i, 1), 9) for i in range(10)]


def weights(queries, keys):
    """Of each key."""
    ### BEGIN SOLUTION
    scores = queries @ keys.transpose(-2, -1) / keys.shape[-1] ** 0.5
    return torch.softmax(scores, dim=-1)
    ### END SOLUTION


def tie(model):
    ### BEGIN SOLUTION
    model.head.weight = model.tok_emb.weight
    ### END SOLUTION
'''


def found_in(name: str, text: str) -> list[str]:
    return [leak.found for leak in HandOutIndex({name: text.encode()}).leaks(SOLUTION, "weights.py")]


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.py", "def f(q, k):\n    return q @ k.transpose(-2, -1) / k.shape[-1] ** 0.5\n", 2),
        ("a.py", "s = (a @\n     b.transpose(\n -2, -1) / b.shape[-1]**0.5)", 1),
        ("a.py", '"""How.\n\n    >>> q @ k.transpose(-2, -1) / k.shape[-1] ** 0.5\n"""\n', 3),
        ("a.py", "x = 1\n# s = q @ k.transpose(-2, -1) / k.shape[-1] ** 0.5\n", 2),
        ("a.py", "text = {'how': ['`q @ k.transpose(-2, -1) / k.shape[-1] ** 0.5` it is']}", 1),
        ("a.md", "# Attention\n\nTake `a @ b.transpose(-2, -1) / b.shape[-1] ** 0.5`, then\n", 3),
        ("a.md", "Then queries@keys.transpose(-2,-1) / keys.shape[-1]**0.5 gives\n", 1),
        ("a.md", "```python\nx = 1\ns = q @ k.transpose(dim0=-2, dim1=-1) / k.shape[-1] ** 0.5\n```\n", 3),
        ("a.md", "So:\n\n    s = (a @ b.transpose(-2, -1)\n         / b.shape[-1] ** 0.5)\n\nDone.\n", 3),
        ("h.toml", '[[hint]]\nlevels = [\n  "Try a @ b.T",\n  "q @ k.transpose(-2, -1)",\n]\n', 4),
        ("n.ipynb", '{"source": ["s = q @ k.transpose(-2, -1) / k.shape[-1] ** 0.5\\n"]}', 1),
        ("a.py", "m.head.weight = m.tok_emb.weight\n", 1),
    ],
)
def test_a_solution_is_found(name, text, line):
    assert f"{name}:{line}" in found_in(name, text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", "def f(q, k):\n    return q @ q.transpose(-2, -1) / k.shape[-1] ** 0.5\n"),  # q twice
        ("a.py", "s = q @ k.mT / k.shape[-1] ** 0.5\n"),
        ("a.py", "shape = keys.shape[-1]\nw = torch.softmax(logits, dim=-1)\n"),  # idioms
        ("a.py", "given = [min(max(i, 1), 9) for i in range(10)]\n"),  # not marked
        ("a.md", "softmax(Q Kᵀ / √d) over each row, with queries, keys and keys.shape[-1]\n"),
        ("a.safetensors", "s = q @ k.transpose(-2, -1) / k.shape[-1] ** 0.5\n"),
    ],
)
def test_other_code_is_not(name, text):
    assert found_in(name, text) == []


def test_only_the_largest_part_is_told():
    whole = "s = a @ b.transpose(-2, -1) / b.shape[-1] ** 0.5\n"
    [leak] = HandOutIndex({"a.py": whole.encode()}).leaks(SOLUTION, "weights.py")
    assert str(leak).startswith("a.py:1: scores = queries @ keys.transpose(-2, -1) / keys.shape")
    assert leak.solution == "weights.py:11"
