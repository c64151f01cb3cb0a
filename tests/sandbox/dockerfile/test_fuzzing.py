"""Mutated Dockerfiles are read or refused, never anything else; `make fuzz` goes on for longer."""

from __future__ import annotations

import random

import pytest

from tests.sandbox.dockerfile.fuzzing import corpus, mutations, read, run

COUNT = 150  # of each seed


@pytest.mark.parametrize("seed", range(4))
def test_any_mutation_is_read_or_refused(seed: int) -> None:
    """The same texts in each run."""
    assert run(mutations(corpus(), random.Random(seed)), count=COUNT) == COUNT  # noqa: S311


def test_the_corpus_is_read() -> None:
    """What is mutated makes sense at first."""
    texts = corpus()
    assert len(texts) > 10
    for text in texts:
        read(text)
