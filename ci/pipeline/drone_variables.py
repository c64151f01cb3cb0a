"""The `DRONE_*` variables: all of them for a drone pipeline, and for the plugins of every other.

Plugins are the same images for all systems, and read these. Named and filled as drone 2.x does (docs.drone.io,
"Environment, Reference"); those that tell a status are the ones at the Stage's start, and a runner may correct them.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from ci.pipeline.event import EventKind
from ci.pipeline.variables import SYSTEM_VERSION, page, present, tag_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.pipeline.event import Event

# What drone calls the events.
EVENT_NAMES: Mapping[EventKind, str] = MappingProxyType(
    {
        EventKind.PULL_REQUEST_CLOSED: "pull_request",
        EventKind.PULL_REQUEST_METADATA: "pull_request",
        EventKind.RELEASE: "tag",
        EventKind.DEPLOYMENT: "promote",
        EventKind.MANUAL: "custom",
    }
)

_WORDS = """
BRANCH BUILD_ACTION BUILD_CREATED BUILD_EVENT BUILD_FINISHED BUILD_LINK BUILD_NUMBER BUILD_PARENT BUILD_STARTED
BUILD_STATUS BUILD_TRIGGER CALVER CALVER_MAJOR CALVER_MAJOR_MINOR CALVER_MICRO CALVER_MINOR CALVER_MODIFIER
CALVER_SHORT COMMIT COMMIT_AFTER COMMIT_AUTHOR COMMIT_AUTHOR_AVATAR COMMIT_AUTHOR_EMAIL
COMMIT_AUTHOR_NAME COMMIT_BEFORE COMMIT_BRANCH COMMIT_LINK COMMIT_MESSAGE COMMIT_REF COMMIT_SHA CRON DEPLOY_TO
FAILED_STAGES FAILED_STEPS GIT_HTTP_URL GIT_SSH_URL PULL_REQUEST PULL_REQUEST_TITLE REMOTE_URL REPO REPO_BRANCH
REPO_LINK REPO_NAME REPO_NAMESPACE REPO_OWNER REPO_PRIVATE REPO_SCM REPO_VISIBILITY SEMVER SEMVER_BUILD SEMVER_ERROR
SEMVER_MAJOR SEMVER_MINOR SEMVER_PATCH SEMVER_PRERELEASE SEMVER_SHORT SOURCE_BRANCH STAGE_ARCH STAGE_DEPENDS_ON
STAGE_FINISHED STAGE_KIND STAGE_MACHINE STAGE_NAME STAGE_NUMBER STAGE_OS STAGE_STARTED STAGE_STATUS STAGE_TYPE
STAGE_VARIANT STEP_NAME STEP_NUMBER SYSTEM_HOST SYSTEM_HOSTNAME SYSTEM_PROTO SYSTEM_VERSION TAG TARGET_BRANCH WORKSPACE
WORKSPACE_BASE WORKSPACE_PATH
"""
NAMES = frozenset({"DRONE", *(f"DRONE_{word}" for word in _WORDS.split())})

# Semantic Versioning 2.0.0, with the "v" that tags often begin with; drone takes numbers with zeros before them.
_SEMVER = re.compile(
    r"v?(?P<major>\d+)\.(?P<minor>\d+)\.(?P<patch>\d+)"
    r"(?:-(?P<prerelease>[0-9A-Za-z.-]+))?(?:\+(?P<build>[0-9A-Za-z.-]+))?",
    re.ASCII,
)
# Calendar versions, as far as drone knows them: two numbers, of which the first is a year, and the rest.
_CALVER = re.compile(
    r"v?(?P<major>\d{1,6})\.(?P<minor>\d{1,18})(?:\.(?P<micro>[^-]*)(?:-(?P<modifier>.*))?)?", re.ASCII
)
_YEARS = (range(19, 100), range(2019, 9999))


def drone_variables(
    event: Event,
    *,
    number: int,
    stage: str,
    stage_number: int,
    depends_on: Sequence[str] = (),
    base: str = "",
    path: str = "",
    machine: str = "",
) -> dict[str, str]:
    """The variables that all containers of one Stage share. `base` and `path` are the two parts of the workspace."""
    owner, _, name = event.repository.rpartition("/")
    system, _, architecture = event.platform.partition("/")
    architecture, _, variant = architecture.partition("/")
    created = str(event.created or "")
    tag = event.tag if event.kind.of_tag else tag_of(event)
    pull_request = event.kind.of_pull_request
    # A tag's branch is the tag itself: drone cuts the reference to its last part and knows no better.
    target = tag if event.kind.of_tag else event.branch
    source = event.source_branch if pull_request else target
    values = {
        "DRONE": "true",
        "DRONE_BRANCH": target,
        "DRONE_BUILD_ACTION": event.action,
        "DRONE_BUILD_CREATED": created,
        "DRONE_BUILD_EVENT": EVENT_NAMES.get(event.kind, event.kind.value),
        "DRONE_BUILD_FINISHED": created,
        "DRONE_BUILD_LINK": event.build_url,
        "DRONE_BUILD_NUMBER": str(number),
        "DRONE_BUILD_PARENT": str(event.parent),
        "DRONE_BUILD_STARTED": created,
        "DRONE_BUILD_STATUS": "success",
        "DRONE_BUILD_TRIGGER": "@cron" if event.kind is EventKind.CRON else event.sender or "@hook",
        "DRONE_COMMIT": event.commit,
        "DRONE_COMMIT_AFTER": event.commit,
        "DRONE_COMMIT_AUTHOR": event.author_login or event.author,
        "DRONE_COMMIT_AUTHOR_AVATAR": event.author_avatar,
        "DRONE_COMMIT_AUTHOR_EMAIL": event.author_email,
        "DRONE_COMMIT_AUTHOR_NAME": event.author,
        "DRONE_COMMIT_BEFORE": event.before,
        "DRONE_COMMIT_BRANCH": target,
        "DRONE_COMMIT_LINK": event.link,
        "DRONE_COMMIT_MESSAGE": event.message,
        "DRONE_COMMIT_REF": event.full_ref,
        "DRONE_COMMIT_SHA": event.commit,
        "DRONE_CRON": event.cron,
        "DRONE_DEPLOY_TO": event.deploy_target,
        "DRONE_GIT_HTTP_URL": event.remote_url,
        "DRONE_GIT_SSH_URL": event.ssh_url,
        "DRONE_PULL_REQUEST": str(event.pull_request) if pull_request else "",
        "DRONE_PULL_REQUEST_TITLE": event.pull_request_title if pull_request else "",
        "DRONE_REMOTE_URL": event.remote_url,
        "DRONE_REPO": event.repository,
        "DRONE_REPO_BRANCH": event.default_branch,
        "DRONE_REPO_LINK": page(event.remote_url),
        "DRONE_REPO_NAME": name,
        "DRONE_REPO_NAMESPACE": owner,
        "DRONE_REPO_OWNER": owner,
        "DRONE_REPO_PRIVATE": "true" if event.private else "false",
        "DRONE_REPO_SCM": "git",
        "DRONE_REPO_VISIBILITY": "private" if event.private else "public",
        "DRONE_SOURCE_BRANCH": source,
        "DRONE_STAGE_ARCH": architecture,
        "DRONE_STAGE_DEPENDS_ON": ",".join(depends_on),
        "DRONE_STAGE_FINISHED": created,
        "DRONE_STAGE_KIND": "pipeline",
        "DRONE_STAGE_MACHINE": machine,
        "DRONE_STAGE_NAME": stage,
        "DRONE_STAGE_NUMBER": str(stage_number),
        "DRONE_STAGE_OS": system,
        "DRONE_STAGE_STARTED": created,
        "DRONE_STAGE_STATUS": "success",
        "DRONE_STAGE_TYPE": "docker",
        "DRONE_STAGE_VARIANT": variant,
        "DRONE_SYSTEM_HOST": event.instance,
        "DRONE_SYSTEM_HOSTNAME": event.instance,
        "DRONE_SYSTEM_PROTO": event.server_url.partition("://")[0] if event.server_url else "",
        "DRONE_SYSTEM_VERSION": SYSTEM_VERSION,
        "DRONE_TAG": tag,
        "DRONE_TARGET_BRANCH": target,
        "DRONE_WORKSPACE": f"{base}/{path}".rstrip("/") if base else "",
        "DRONE_WORKSPACE_BASE": base,
        "DRONE_WORKSPACE_PATH": path,
        **(_semver(tag) | _calver(tag) if tag else {}),
    }
    return present(values)


# Woodpecker's plugins have some of them as copies of its own, whatever drone would say: the names without the prefixes.
_COPIES = {
    "BRANCH": "COMMIT_BRANCH",
    "BUILD_CREATED": "PIPELINE_CREATED",
    "BUILD_EVENT": "PIPELINE_EVENT",
    "BUILD_LINK": "PIPELINE_URL",
    "BUILD_NUMBER": "PIPELINE_NUMBER",
    "BUILD_PARENT": "PIPELINE_PARENT",
    "BUILD_STARTED": "PIPELINE_STARTED",
    "COMMIT": "COMMIT_SHA",
    "COMMIT_AUTHOR": "COMMIT_AUTHOR",
    "COMMIT_AUTHOR_AVATAR": "COMMIT_AUTHOR_AVATAR",
    "COMMIT_AUTHOR_EMAIL": "COMMIT_AUTHOR_EMAIL",
    "COMMIT_AUTHOR_NAME": "COMMIT_AUTHOR",
    "COMMIT_BEFORE": "PREV_COMMIT_SHA",
    "COMMIT_BRANCH": "COMMIT_BRANCH",
    "COMMIT_LINK": "COMMIT_URL",
    "COMMIT_MESSAGE": "COMMIT_MESSAGE",
    "COMMIT_REF": "COMMIT_REF",
    "COMMIT_SHA": "COMMIT_SHA",
    "PULL_REQUEST": "COMMIT_PULL_REQUEST",
    "SOURCE_BRANCH": "COMMIT_SOURCE_BRANCH",
    "SYSTEM_HOST": "SYSTEM_HOST",
    "TAG": "COMMIT_TAG",
    "TARGET_BRANCH": "COMMIT_TARGET_BRANCH",
}


def as_in_woodpecker(drone: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """drone's variables as Woodpecker's plugins find them: `own` are its CI_* variables."""
    copies = {f"DRONE_{name}": own.get(f"CI_{source}", "") for name, source in _COPIES.items()}
    # Some plugins make a number of it (woodpecker, pipeline/frontend/metadata/drone_compatibility.go).
    number = {"PULLREQUEST_DRONE_PULL_REQUEST": own.get("CI_COMMIT_PULL_REQUEST", "0")}
    return {**{name: value for name, value in drone.items() if name not in copies}, **present(copies), **number}


def drone_step_variables(name: str, number: int) -> dict[str, str]:
    """The variables of one container."""
    return {"DRONE_STEP_NAME": name, "DRONE_STEP_NUMBER": str(number)}


def _semver(tag: str) -> dict[str, str]:
    match = _SEMVER.fullmatch(tag)
    if match is None:
        return {"DRONE_SEMVER_ERROR": f"{tag.removeprefix('v')} is not in dotted-tri format"}
    major, minor, patch = (match[part].lstrip("0") or "0" for part in ("major", "minor", "patch"))
    short = f"{major}.{minor}.{patch}"
    prerelease, build = match["prerelease"] or "", match["build"] or ""
    return {
        "DRONE_SEMVER": short + (f"-{prerelease}" if prerelease else "") + (f"+{build}" if build else ""),
        "DRONE_SEMVER_SHORT": short,
        "DRONE_SEMVER_MAJOR": major,
        "DRONE_SEMVER_MINOR": minor,
        "DRONE_SEMVER_PATCH": patch,
        "DRONE_SEMVER_PRERELEASE": prerelease,
        "DRONE_SEMVER_BUILD": build,
    }


def _calver(tag: str) -> dict[str, str]:
    match = _CALVER.fullmatch(tag)
    if match is None or not any(int(match["major"]) in years for years in _YEARS):
        return {}
    major, minor, micro, modifier = (match[part] or "" for part in ("major", "minor", "micro", "modifier"))
    short = ".".join(part for part in (major, minor, micro) if part)
    return {
        "DRONE_CALVER": short + (f"-{modifier}" if modifier else ""),
        "DRONE_CALVER_SHORT": short,
        "DRONE_CALVER_MAJOR_MINOR": f"{major}.{minor}",
        "DRONE_CALVER_MAJOR": major,
        "DRONE_CALVER_MINOR": minor,
        "DRONE_CALVER_MICRO": micro,
        "DRONE_CALVER_MODIFIER": modifier,
    }
