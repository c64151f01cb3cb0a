"""What settings say of events."""

from __future__ import annotations

import dataclasses

import pytest

from ci.errors import CiError
from ci.pipeline.event import Event, EventKind
from ci.trigger.rules import Approval, Settings, needs_approval, settings, why_not

PUSH = Event(branch="main")
PULL = Event(kind=EventKind.PULL_REQUEST, sender_id="7")
FORK = dataclasses.replace(PULL, fork=True)


@pytest.mark.parametrize("text", ["[ci skip]", "Fix\n\n[skip ci]", "x [CI SKIP] y", "[skip  ci]"])
def test_a_message_may_ask_not_to_be_built(text: str) -> None:
    """Of pushes and pull requests; a tag with the same message is built."""
    for event in (PUSH, PULL):
        assert "the message says" in why_not(dataclasses.replace(event, message=text), Settings())
    assert why_not(Event(kind=EventKind.TAG, message=text), Settings()) == ""
    assert why_not(Event(kind=EventKind.MANUAL, message=text), Settings()) == ""
    assert why_not(dataclasses.replace(PUSH, message="skip ci"), Settings()) == ""


def test_events_that_a_repository_does_not_build() -> None:
    """By its settings; changes of a pull request's labels are not among the usual ones."""
    assert why_not(PUSH, Settings(events=frozenset())) == "the repository does not build the event push"
    assert why_not(Event(kind=EventKind.PULL_REQUEST_METADATA), Settings()) != ""


@pytest.mark.parametrize(
    ("mode", "waits"), [(Approval.NONE, []), (Approval.FORKS, [FORK]), (Approval.ALL, [PULL, FORK])]
)
def test_who_waits_for_an_approval(mode: Approval, waits: list[Event]) -> None:
    """Pull requests by the mode; nothing else ever."""
    chosen = Settings(approval=mode)
    assert [event for event in (PUSH, PULL, FORK) if needs_approval(event, chosen)] == waits


def test_who_is_trusted_is_told_by_the_id() -> None:
    """Not by a login, which can be another's by now, nor by what a commit says."""
    chosen = Settings(trusted_senders=frozenset({"7", ""}))
    assert not needs_approval(FORK, chosen)
    other = dataclasses.replace(FORK, sender_id="8", sender="7", author="7", author_login="7")
    assert needs_approval(other, chosen)
    assert needs_approval(dataclasses.replace(FORK, sender_id=""), chosen)


def test_settings_of_a_document() -> None:
    """What is missing has its default; what is no value is said."""
    assert settings({}) == Settings()
    found = settings({"approval": "all", "events": ["push"], "trusted_senders": ["7"], "priority": 3})
    assert found == Settings(
        approval=Approval.ALL, events=frozenset({EventKind.PUSH}), trusted_senders=frozenset({"7"}), priority=3
    )
    with pytest.raises(CiError, match="settings: 'often' is not a valid Approval"):
        settings({"approval": "often"})
