import sys

import pytest

from tests.grader.toy import Toy


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A toy chapter with its recording; nothing of it stays imported."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    chapter = Toy(tmp_path)
    chapter.record()
    yield chapter
    for name in [name for name in sys.modules if name.startswith("toy_") and name not in before]:
        del sys.modules[name]
