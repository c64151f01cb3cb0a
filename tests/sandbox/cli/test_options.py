"""The grammar of the command line: docker's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.cli.main import MODULES, load
from sandbox.cli.options import HelpAsked, Option, Syntax, UsageError, parse

SYNTAX = Syntax(
    "do it",
    "IMAGE [COMMAND] [ARGUMENT...]",
    (
        Option(("-e", "--env"), "…", "NAME=VALUE", many=True),
        Option(("-i", "--interactive"), "…"),
        Option(("-t", "--tty"), "…"),
        Option(("--rm",), "…"),
        Option(("--net", "--network"), "…", "NETWORK"),
        Option(("--stop-timeout",), "…", "SECONDS"),
    ),
    command=True,
)
PLAIN = Syntax("do it", "FROM TO", (Option(("-f", "--force"), "…"),))


def test_options_end_where_the_command_begins() -> None:
    """What follows the image belongs to the container, whatever it looks like."""
    arguments = parse(SYNTAX, ["--rm", "busybox", "ls", "-i", "--rm", "--", "--nonsense"])
    assert arguments.operands == ("busybox", "ls", "-i", "--rm", "--", "--nonsense")
    assert arguments.flag("rm")
    assert not arguments.flag("interactive")


def test_options_stand_anywhere_without_a_command() -> None:
    """`rmi busybox -f` is understood, and `--` makes an operand of what looks like an option."""
    arguments = parse(PLAIN, ["a", "-f", "--", "-b"])
    assert arguments.operands == ("a", "-b")
    assert arguments.flag("force")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-e", "A=1", "-eB=2", "-e=C=3", "--env", "D", "--env=E="], ("A=1", "B=2", "C=3", "D", "E=")),
        (["-ite", "A=1"], ("A=1",)),
        (["-iteA"], ("A",)),
        (["-e", "--rm"], ("--rm",)),
    ],
)
def test_values_are_attached_or_follow(words: list[str], expected: tuple[str, ...]) -> None:
    """Every way of docker's to give a value, also in a cluster of short options."""
    assert parse(SYNTAX, [*words, "image"]).texts("env") == expected


def test_the_last_value_counts_and_every_name_works() -> None:
    """Of an option that is given twice the last is taken, by whichever of its names."""
    arguments = parse(SYNTAX, ["--net", "none", "--network=host", "image"])
    assert arguments.text("network") == "host"
    assert arguments.text("stop-timeout", "10") == "10"
    assert not arguments.given("stop-timeout")


@pytest.mark.parametrize(
    ("word", "expected"), [("--rm", True), ("--rm=true", True), ("--rm=1", True), ("--rm=false", False)]
)
def test_switches_may_have_a_value(word: str, expected: bool) -> None:
    """`--rm=false` undoes `--rm`, as in docker."""
    assert parse(SYNTAX, ["--rm", word, "image"]).flag("rm") is expected
    assert parse(SYNTAX, ["-i=false", "image"]).flag("interactive", default=True) is False


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--evn", "A", "image"], "unknown option --evn", "did you mean --env?"),
        (["--zzzzzz"], "unknown option --zzzzzz", ""),
        (["-ix", "image"], "unknown option -x in -ix", ""),
        (["-x", "image"], "unknown option -x", ""),
        (["--env"], "--env needs a value", ""),
        (["-it", "-e"], "-e needs a value", ""),
        (["--rm=maybe", "image"], "--rm is a switch: 'maybe' is neither true nor false", ""),
        (["-t=maybe", "image"], "-t is a switch: 'maybe' is neither true nor false", ""),
        ([], "IMAGE is missing", ""),
        (["--rm"], "IMAGE is missing", ""),
    ],
)
def test_mistakes_name_the_word(words: list[str], message: str, hint: str) -> None:
    """A mistake is one sentence with the word in it, and the nearest option where there is one."""
    with pytest.raises(UsageError) as caught:
        parse(SYNTAX, words)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(("words", "message"), [(["a"], "TO is missing"), (["a", "b", "c"], "one word too many: 'c'")])
def test_operands_are_counted(words: list[str], message: str) -> None:
    """Too few and too many operands are mistakes."""
    with pytest.raises(UsageError, match=message):
        parse(PLAIN, words)


@pytest.mark.parametrize("words", [["--help"], ["-f", "--help", "x"], ["-h"], ["x", "-h"]])
def test_help_is_asked_for_anywhere_among_the_options(words: list[str]) -> None:
    """`--help`, and `-h` where it is nothing else, ask for help before anything is counted."""
    with pytest.raises(HelpAsked):
        parse(PLAIN, words)


def test_h_is_the_host_name_of_a_run() -> None:
    """`run -h` is docker's --hostname."""
    assert parse(load("run").syntax, ["-h", "box", "busybox"]).text("hostname") == "box"


@pytest.mark.parametrize(("text", "least", "expected"), [("0", 0, 0), ("17", 0, 17), ("-1", -1, -1)])
def test_numbers(text: str, least: int, expected: int) -> None:
    """Whole numbers, from a least one on."""
    assert parse(SYNTAX, ["--stop-timeout", text, "image"]).number("stop-timeout", least=least) == expected


@pytest.mark.parametrize("text", ["", "x", "1.5", "-1", "--1", "²", "1e3"])
def test_what_is_no_number_is_refused(text: str) -> None:
    """The message has option and value."""
    with pytest.raises(UsageError, match="--stop-timeout"):
        parse(SYNTAX, [f"--stop-timeout={text}", "image"]).number("stop-timeout")


@given(st.lists(st.text(alphabet="-=abeEirt ", max_size=6), max_size=6))
def test_no_line_breaks_the_parser(words: list[str]) -> None:
    """Any words are sorted or refused; nothing else happens."""
    try:
        arguments = parse(SYNTAX, words)
    except (UsageError, HelpAsked):
        return
    assert arguments.operands


@pytest.mark.parametrize("verb", MODULES)
def test_every_verb_is_sound(verb: str) -> None:
    """No verb has two options of one name, and each explains itself and its options."""
    syntax = load(verb).syntax
    names = [name for option in syntax.options for name in option.names]
    assert len(names) == len(set(names))
    assert syntax.help
    for option in syntax.options:
        assert option.help
        assert option.names[-1].startswith("--")
        assert all(name.startswith("--") or len(name) == 2 for name in option.names)
