"""The `CI_*` variables that every container of a build finds in its environment, named as in Woodpecker.

Pure. `NAMES` is what `${…}` may name in a file before any event is known; `variables` gives the values for one
container. A variable without a value is not set at all (as in Woodpecker), so that `${CI_COMMIT_TAG:-none}` works in a
shell. CI_MACHINE is known only where the build runs: the runner passes it to `compile`, or sets it itself.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from ci.pipeline.event import EventKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ci.pipeline.event import Event, Previous

SYSTEM_NAME = "hako"
SYSTEM_VERSION = "0.1.0"  # the package's; to ask importlib.metadata for it takes 50 ms

# One string of the environment may have 128 KiB (MAX_ARG_STRLEN, execve(2)), the name and the NUL included; a commit's
# message can be larger.
VALUE_LIMIT = 64 * 1024
FILES_LIMIT = 500  # as in Woodpecker: more files than this, and CI_PIPELINE_FILES is not set


def _names(prefix: str, words: str) -> frozenset[str]:
    return frozenset(prefix + word for word in words.split())


_COMMIT = "SHA REF REFSPEC BRANCH SOURCE_BRANCH TARGET_BRANCH MESSAGE TIMESTAMP AUTHOR AUTHOR_EMAIL AUTHOR_AVATAR URL"
NAMES = (
    frozenset({"CI", "CI_REPO", "CI_REPO_TRUSTED", "CI_WORKSPACE"})
    | _names("CI_REPO_", "OWNER NAME REMOTE_ID URL SCM CLONE_URL CLONE_SSH_URL DEFAULT_BRANCH PRIVATE")
    | _names("CI_REPO_TRUSTED_", "NETWORK VOLUMES SECURITY")
    | _names("CI_COMMIT_", f"{_COMMIT} TAG PRERELEASE PULL_REQUEST")
    | _names("CI_COMMIT_PULL_REQUEST_", "LABELS MILESTONE DRAFT")
    | _names("CI_PIPELINE_", "NUMBER PARENT EVENT EVENT_REASON URL FORGE_URL CREATED STARTED FILES AUTHOR AVATAR CRON")
    | _names("CI_PIPELINE_", "DEPLOY_TARGET DEPLOY_TASK RELEASE_TITLE RELEASE_PRE RERUNS STATUS")
    | _names("CI_WORKFLOW_", "NAME NUMBER")
    | _names("CI_STEP_", "NAME NUMBER TYPE URL")
    | _names("CI_SYSTEM_", "NAME HOST URL PLATFORM VERSION")
    | _names("CI_FORGE_", "TYPE URL")
    | _names("CI_PREV_COMMIT_", _COMMIT)
    | _names("CI_PREV_PIPELINE_", "NUMBER PARENT EVENT EVENT_REASON STATUS STARTED FINISHED CREATED URL FORGE_URL")
    | _names("CI_PREV_PIPELINE_", "DEPLOY_TARGET DEPLOY_TASK AUTHOR AVATAR")
)


_TRUSTED = tuple(name for name in NAMES if name.startswith("CI_REPO_TRUSTED"))


def variables(
    event: Event,
    *,
    number: int,
    workflow: str,
    workflow_number: int,
    workspace: str,
    machine: str = "",
    system: str = SYSTEM_NAME,
    ci: str = SYSTEM_NAME,
    event_names: Mapping[EventKind, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The variables that all containers of one Stage share: `number` is the build's, `workflow` the Stage's name.

    `ci` and `system` are what CI and CI_SYSTEM_NAME say, `event_names` what events are called where not by their own
    names.
    """
    owner, _, name = event.repository.rpartition("/")
    files = event.changed_files or ()
    release = event.kind is EventKind.RELEASE
    values = {
        "CI": ci,
        "CI_REPO": event.repository,
        "CI_REPO_OWNER": owner,
        "CI_REPO_NAME": name,
        "CI_REPO_URL": page(event.remote_url),
        "CI_REPO_SCM": "git",
        "CI_REPO_CLONE_URL": event.remote_url,
        "CI_REPO_CLONE_SSH_URL": event.ssh_url,
        "CI_REPO_DEFAULT_BRANCH": event.default_branch,
        "CI_REPO_REMOTE_ID": event.repository_id,
        "CI_REPO_PRIVATE": _flag(event.private),
        **dict.fromkeys(_TRUSTED, _flag(event.trusted)),
        **_commit("CI_COMMIT_", event),
        # Only for the event itself: scripts ask `[ -n "$CI_COMMIT_TAG" ]` to decide whether to publish. A deployment
        # of a tag is one of that tag.
        "CI_COMMIT_TAG": event.tag if event.kind.of_tag else tag_of(event),
        "CI_COMMIT_PRERELEASE": _flag(event.prerelease) if release else "",
        "CI_PIPELINE_RELEASE_PRE": _flag(event.prerelease) if release else "",
        "CI_PIPELINE_RELEASE_TITLE": event.release_title if release else "",
        "CI_PIPELINE_NUMBER": str(number),
        "CI_PIPELINE_PARENT": str(event.parent),
        "CI_PIPELINE_RERUNS": str(event.reruns or ""),
        "CI_PIPELINE_EVENT": event_names.get(event.kind, event.kind.value),
        "CI_PIPELINE_EVENT_REASON": event.action if event.kind.of_pull_request else "",
        "CI_PIPELINE_URL": event.build_url,
        "CI_PIPELINE_FORGE_URL": event.link,
        "CI_PIPELINE_DEPLOY_TARGET": event.deploy_target,
        "CI_PIPELINE_DEPLOY_TASK": event.deploy_task,
        "CI_PIPELINE_CREATED": _time(event.created),
        "CI_PIPELINE_STARTED": _time(event.created),
        "CI_PIPELINE_STATUS": "success",
        "CI_PIPELINE_AUTHOR": event.sender,
        "CI_PIPELINE_AVATAR": event.sender_avatar,
        "CI_PIPELINE_FILES": _files(files) if len(files) <= FILES_LIMIT else "",
        "CI_PIPELINE_CRON": event.cron,
        "CI_WORKFLOW_NAME": workflow,
        "CI_WORKFLOW_NUMBER": str(workflow_number),
        "CI_WORKSPACE": workspace,
        "CI_SYSTEM_NAME": system,
        "CI_SYSTEM_HOST": event.instance,
        "CI_SYSTEM_URL": event.server_url,
        "CI_SYSTEM_PLATFORM": event.platform,
        "CI_SYSTEM_VERSION": SYSTEM_VERSION,
        "CI_FORGE_TYPE": event.forge,
        "CI_FORGE_URL": event.forge_url,
        "CI_STEP_URL": event.build_url,
        "CI_MACHINE": machine,
        **(_previous(event.previous, event_names) if event.previous else {}),
        **dict(event.parameters),
    }
    return present(values)


def _commit(prefix: str, event: Event) -> dict[str, str]:
    """What is said of the commit of this event, and of the one before it."""
    pull_request = event.kind.of_pull_request
    return {
        f"{prefix}SHA": event.commit,
        f"{prefix}REF": event.full_ref,
        f"{prefix}REFSPEC": f"{event.source_branch}:{event.branch}" if pull_request else "",
        f"{prefix}BRANCH": event.branch,
        f"{prefix}SOURCE_BRANCH": event.source_branch if pull_request else "",
        f"{prefix}TARGET_BRANCH": event.branch if pull_request else "",
        f"{prefix}PULL_REQUEST": str(event.pull_request) if event.pull_request and pull_request else "",
        f"{prefix}PULL_REQUEST_LABELS": ",".join(event.labels) if pull_request else "",
        f"{prefix}PULL_REQUEST_MILESTONE": event.milestone if pull_request else "",
        f"{prefix}PULL_REQUEST_DRAFT": _flag(event.draft) if pull_request else "",
        f"{prefix}MESSAGE": event.message,
        f"{prefix}TIMESTAMP": _time(event.committed),
        f"{prefix}URL": event.link,
        f"{prefix}AUTHOR": event.author,
        f"{prefix}AUTHOR_EMAIL": event.author_email,
        f"{prefix}AUTHOR_AVATAR": event.author_avatar,
    }


def _previous(build: Previous, event_names: Mapping[EventKind, str]) -> dict[str, str]:
    event = build.event
    known = _commit("CI_PREV_COMMIT_", event)
    return {name: value for name, value in known.items() if name in NAMES} | {
        "CI_PREV_PIPELINE_NUMBER": str(build.number),
        "CI_PREV_PIPELINE_PARENT": str(event.parent),
        "CI_PREV_PIPELINE_EVENT": event_names.get(event.kind, event.kind.value),
        "CI_PREV_PIPELINE_EVENT_REASON": event.action if event.kind.of_pull_request else "",
        "CI_PREV_PIPELINE_STATUS": build.status,
        "CI_PREV_PIPELINE_URL": event.build_url,
        "CI_PREV_PIPELINE_AUTHOR": event.sender,
        "CI_PREV_PIPELINE_AVATAR": event.sender_avatar,
        "CI_PREV_PIPELINE_CREATED": _time(event.created),
        "CI_PREV_PIPELINE_STARTED": _time(build.started),
        "CI_PREV_PIPELINE_FINISHED": _time(build.finished),
        "CI_PREV_PIPELINE_FORGE_URL": event.link,
        "CI_PREV_PIPELINE_DEPLOY_TARGET": event.deploy_target,
        "CI_PREV_PIPELINE_DEPLOY_TASK": event.deploy_task,
    }


def tag_of(event: Event) -> str:
    """The tag that the event's reference names, whatever the event is."""
    return event.ref.removeprefix("refs/tags/") if event.ref.startswith("refs/tags/") else ""


def present(values: Mapping[str, str]) -> dict[str, str]:
    """The variables that have a value, in a form that an environment can hold."""
    return {name: _fit(value) for name, value in values.items() if value}


def step_variables(name: str, number: int, kind: str) -> dict[str, str]:
    """The variables of one container:

    `number` counts from 1 in the file's order, and is 0 for what clones; `kind` is `commands`, `plugin`, `service` or
    `clone`.
    """
    return {"CI_STEP_NAME": name, "CI_STEP_NUMBER": str(number), "CI_STEP_TYPE": kind}


def _fit(value: str) -> str:
    """A value that an environment can hold: no NUL (git allows one in a message), not too long, no half characters."""
    if "\0" in value:
        value = value.replace("\0", "")
    if len(value) > VALUE_LIMIT // 4:
        return value.encode("utf-8", "replace")[:VALUE_LIMIT].decode("utf-8", "ignore")
    return value


def page(remote_url: str) -> str:
    """The web page that belongs to a remote, for the forms that all forges share."""
    url = remote_url.removesuffix(".git")
    if url.startswith(("https://", "http://")):
        return url
    return ""


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _time(seconds: int) -> str:
    return str(seconds) if seconds else ""


def _files(paths: Sequence[str]) -> str:
    """The paths as a JSON list, as in Woodpecker; where none is known, too."""
    if not paths:
        return "[]"
    import json  # noqa: PLC0415  lint needs the names of this module only

    return json.dumps(paths, ensure_ascii=False)
