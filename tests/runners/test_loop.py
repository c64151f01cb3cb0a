"""One thread, many descriptors and timers."""

from __future__ import annotations

import os

from runners.loop import Loop


def test_timers_run_in_their_order() -> None:
    """The earlier moment first, and of one moment the one made first; a cancelled timer never runs."""
    loop = Loop()
    seen: list[str] = []
    loop.after(0.02, lambda: seen.append("late"))
    loop.after(0.0, lambda: seen.append("first"))
    loop.after(0.0, lambda: seen.append("second"))
    loop.after(0.01, lambda: seen.append("never")).cancel()
    loop.run(lambda: "late" in seen)
    loop.close()
    assert seen == ["first", "second", "late"]


def test_a_descriptor_forgotten_in_the_same_round_is_not_served() -> None:
    """A callback may close what became ready together with it."""
    loop = Loop()
    seen: list[str] = []
    pipes = {name: os.pipe() for name in "ab"}

    def serve(name: str) -> None:
        seen.append(name)
        for reading, _ in pipes.values():
            loop.forget(reading)

    for name, (reading, writing) in pipes.items():
        loop.watch(reading, lambda name=name: serve(name))  # type: ignore[misc]
        os.write(writing, b"x")
    loop.run(lambda: bool(seen))
    loop.round(0)
    loop.close()
    for pair in pipes.values():
        for descriptor in pair:
            os.close(descriptor)
    assert len(seen) == 1


def test_forgetting_twice_does_nothing() -> None:
    """`forget` takes descriptors that are not watched."""
    loop = Loop()
    loop.forget(0)
    loop.close()
