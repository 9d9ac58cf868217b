"""What every test shares: one thread, and the data that users have, got as users get it."""

import os

# Before torch is imported: more threads are slower on a shared machine and give other bits.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from course import corpora, vocabularies


@pytest.fixture(scope="session")
def shakespeare_text() -> str:
    return corpora.read_text("shakespeare")


@pytest.fixture(scope="session")
def gpt2_vocab() -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    return vocabularies.gpt2_vocabulary()


@pytest.fixture(scope="session")
def gpt2_tiktoken():
    return tiktoken_encoding("gpt2")


@pytest.fixture(scope="session")
def cl100k_tiktoken():
    return tiktoken_encoding("cl100k_base")


def tiktoken_encoding(name: str):
    import tiktoken

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(corpora.tiktoken_cache()))
        return tiktoken.get_encoding(name)
