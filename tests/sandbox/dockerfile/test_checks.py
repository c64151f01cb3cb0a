"""BuildKit's build checks: each rule finds what its documentation calls bad, and nothing in what it calls good."""

from __future__ import annotations

import pytest

from sandbox.dockerfile.checks import BasePlatform, check
from sandbox.dockerfile.ignorefile import IgnorePatterns
from sandbox.dockerfile.parsing import parse

ENVIRONMENTS = {"busybox": {"PATH": "/bin", "VERSION": "1"}}


def findings(text: str) -> list[str]:
    """Rule and line of each finding."""
    dockerfile = parse(text.encode())
    found = check(dockerfile, environment=ENVIRONMENTS.get, ignore=IgnorePatterns(["ignored"]))
    return [f"{one.code} {one.span.line}" for one in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM scratch AS Base", ["StageNameCasing 1"]),
        ("FROM scratch as base", ["FromAsCasing 1"]),
        ("from scratch as base", []),
        ("FROM scratch\nCOPY a \\\n\n b /", ["NoEmptyContinuation 3"]),
        ("FROM scratch\ncopy a /\nCOPY b /", ["ConsistentInstructionCasing 2"]),
        ("from scratch\ncopy a /\nCopy b /", ["ConsistentInstructionCasing 3"]),
        ("FROM scratch AS a\nFROM scratch AS A", ["DuplicateStageName 2", "StageNameCasing 2"]),
        ("FROM busybox AS scratch", ["ReservedStageName 1"]),
        ("FROM scratch AS context", ["ReservedStageName 1"]),
        ("FROM scratch\nCMD x", ["JSONArgsRecommended 2"]),
        ("FROM scratch\nENTRYPOINT x", ["JSONArgsRecommended 2"]),
        ('FROM scratch\nCMD ["x", ]', ["JSONArgsRecommended 2"]),
        ('FROM scratch AS a\nSHELL ["b"]\nFROM a\nCMD x', []),
        ("FROM scratch\nMAINTAINER me", ["MaintainerDeprecated 2"]),
        ("ARG VERSION=1\nFROM busybox:$VERSION", []),
        ("ARG VERSION=1\nFROM busybox:$VERSON", ["UndefinedArgInFrom 2"]),
        ("FROM --platform=$BULIDPLATFORM scratch", ["UndefinedArgInFrom 1"]),
        ("FROM --platform=$BUILDPLATFORM scratch", []),
        ("FROM scratch\nWORKDIR a", ["WorkdirRelativePath 2"]),
        ("FROM scratch AS a\nWORKDIR /a\nFROM a\nWORKDIR b", []),
        ("FROM busybox\nARG foo\nCOPY $foo .", []),
        ("FROM busybox\nCOPY $foo .\nARG foo", ["UndefinedVar 2"]),
        ("FROM busybox\nENV PATH=$PAHT:/x", ["UndefinedVar 2"]),
        ("FROM unknown\nCOPY $ANYTHING .\nENV PATH=$PAHT:/x", ["UndefinedVar 3"]),
        ("FROM busybox\nRUN echo $anything\nCOPY $VERSION ${x:-y} .", []),
        ("FROM busybox AS a\nARG foo\nFROM a\nCOPY $foo .", []),
        ('FROM scratch\nCMD ["a"]\nENTRYPOINT ["b"]\nCMD ["c"]', ["MultipleInstructionsDisallowed 2"]),
        ("FROM scratch\nENV a b", ["LegacyKeyValueFormat 2"]),
        ("FROM scratch\nLABEL a b", ["LegacyKeyValueFormat 2"]),
        ("FROM --platform=$TARGETPLATFORM scratch", ["RedundantTargetPlatform 1"]),
        ("FROM --platform=linux/amd64 scratch", ["FromPlatformFlagConstDisallowed 1"]),
        ("FROM --platform=linux/amd64 scratch AS amd64", []),
        ("FROM scratch\nARG SECRET_PASSPHRASE\nENV git_key=", ["SecretsUsedInArgOrEnv 2", "SecretsUsedInArgOrEnv 3"]),
        ("FROM scratch\nENV password=a secret=b", ["SecretsUsedInArgOrEnv 2", "SecretsUsedInArgOrEnv 2"]),
        ("FROM scratch\nENV PUBLIC_KEY= sunflower=\nARG public_token", []),
        ("ARG TAG\nFROM busybox:$TAG", ["InvalidDefaultArgInFrom 2"]),
        ("ARG TAG=1\nFROM busybox:$TAG", []),
        ("ARG TAG\nFROM busybox:${TAG:-1}", []),
        ("FROM scratch\nEXPOSE 80/TcP", ["ExposeProtoCasing 2"]),
        ("FROM scratch\nEXPOSE 127.0.0.1:80:80", ["ExposeInvalidFormat 2"]),
        ("FROM scratch\nEXPOSE 80:80/tcp", ["ExposeInvalidFormat 2"]),
        ("FROM scratch\nCOPY ignored /\n", []),
        (
            "# check=experimental=CopyIgnoredFile\nFROM scratch\nADD ./ignored /",
            ["CopyIgnoredFile 3"],
        ),
        ("# check=experimental=all\nFROM scratch AS a\nCOPY --from=a ignored /", []),
        ("# foo bar\nARG foo", []),
        ("# check=experimental=InvalidDefinitionDescription\n# bar this\nARG foo", ["InvalidDefinitionDescription 3"]),
        (
            "# check=experimental=all\n# foo this\nARG foo\n\n# base it is\nFROM scratch AS base",
            [],
        ),
        ("# check=skip=all\nFROM scratch as a\ncopy x /", []),
        ("# check=skip=FromAsCasing,ConsistentInstructionCasing\nFROM scratch as a\ncopy x /", []),
        ("# check=skip=FromAsCasing\nFROM scratch as a\ncopy x /", ["ConsistentInstructionCasing 3"]),
    ],
)
def test_rules(text: str, expected: list[str]) -> None:
    """The examples of docker's documentation, and the exceptions that it names."""
    assert findings(text) == expected


def test_messages() -> None:
    """They are worded as BuildKit's."""
    dockerfile = parse(b"FROM busybox as b\nENV PATH=$PAHT\nARG my_token")
    found = check(dockerfile, environment=ENVIRONMENTS.get)
    assert [one.message for one in found] == [
        "'as' and 'FROM' keywords' casing do not match",
        "Usage of undefined variable '$PAHT' (did you mean $PATH?)",
        'Do not use ARG or ENV instructions for sensitive data (ARG "my_token")',
    ]


def test_platforms_of_base_images() -> None:
    """An image for another platform than is built for is found where FROM names it; one that is not known is not."""
    dockerfile = parse(b"ARG X\nFROM busybox\nFROM \\\n --platform=$BUILDPLATFORM busybox AS two\nFROM other")
    right, wrong = "linux/amd64", "linux/s390x"
    platforms = {0: BasePlatform("busybox", right, right), 1: BasePlatform("busybox", right, wrong)}
    (found,) = check(dockerfile, environment=ENVIRONMENTS.get, base_platforms=platforms)
    message = 'Base image busybox was pulled with platform "linux/amd64", expected "linux/s390x" for current build'
    assert (found.code, found.message, found.span.line) == ("InvalidBaseImagePlatform", message, 3)
    skipped = parse(b"# check=skip=InvalidBaseImagePlatform\nFROM busybox")
    assert not check(skipped, environment=ENVIRONMENTS.get, base_platforms={0: platforms[1]})
