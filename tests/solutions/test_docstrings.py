"""Every worked example in the solutions' docstrings runs and gives the printed numbers."""

import doctest
import importlib

import pytest

MODULES = {
    "ch1": "tokenizer",
    "ch2": "inputs",
    "ch3": "attention",
    "ch4": "block",
    "ch5": "model",
    "ch6": "training",
    "ch7": "sampling",
    "ch8": "gpt2",
    "ch9": "speed",
}


@pytest.mark.parametrize("chapter", MODULES)
def test_worked_examples(chapter):
    module = importlib.import_module(f"solutions.{chapter}.{MODULES[chapter]}")
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
