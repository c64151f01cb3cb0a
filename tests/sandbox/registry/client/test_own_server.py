"""Our client with our server: what one sends, the other takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.registry.client.test_pushing import States, made, pushed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.image.store import ImageStore
    from sandbox.registry.client.pulling import Pulled


@pytest.fixture
def own(tmp_path: Path, repository: Path) -> Iterator[str]:
    """`sandbox registry serve` on a free port: `127.0.0.1:port`."""
    words = ["registry", "serve", "--address", "127.0.0.1:0", "--storage", str(tmp_path / "served")]
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.cli.main", *words], cwd=repository, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r" at http://(127\.0\.0\.1:\d+)", line):
                yield found.group(1)
                break
        else:
            pytest.fail("`sandbox registry serve` does not listen")
    finally:
        process.terminate()
        process.communicate()


@pytest.mark.root
def test_push_mount_and_pull(own: str, store: ImageStore, pulls: Callable[..., Pulled]) -> None:
    """Sent once, found the second time, mounted into another repository, and pulled as it was."""
    name = made(store, f"{own}/a/b:1", os.urandom(3 << 20))
    image, states = store.get(name), States()
    first = pushed(store, name, states)
    assert states.all == ["Pushed"]
    assert pushed(store, name, states) == first
    assert states.all == ["Layer already exists"]
    store.tag(name, f"{own}/c:2")
    assert pushed(store, f"{own}/c:2", states).digest == first.digest
    assert states.all == ["Mounted a/b"]
    store.remove(name)
    store.remove(f"{own}/c:2")
    pulled = pulls(f"{own}/c@{first.digest}")
    assert (pulled.image.id, pulled.image.layers) == (image.id, image.layers)
