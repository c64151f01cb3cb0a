"""The `CI_*` variables that every container of a build finds in its environment, named as in Woodpecker.

Pure. `NAMES` is what `${…}` may name in a file before any event is known; `variables` gives the values for one
container. A variable without a value is not set at all (as in Woodpecker), so that `${CI_COMMIT_TAG:-none}` works in a
shell. CI_MACHINE is known only where the build runs: the runner passes it to `compile`, or sets it itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline.event import EventKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.pipeline.event import Event

SYSTEM_NAME = "hako"

# One string of the environment may have 128 KiB (MAX_ARG_STRLEN, execve(2)), the name and the NUL included; a commit's
# message can be larger.
VALUE_LIMIT = 64 * 1024
FILES_LIMIT = 500  # as in Woodpecker: more files than this, and CI_PIPELINE_FILES is not set

NAMES = frozenset(
    {
        "CI",
        "CI_REPO",
        "CI_REPO_OWNER",
        "CI_REPO_NAME",
        "CI_REPO_URL",
        "CI_REPO_CLONE_URL",
        "CI_REPO_DEFAULT_BRANCH",
        "CI_COMMIT_SHA",
        "CI_COMMIT_REF",
        "CI_COMMIT_REFSPEC",
        "CI_COMMIT_BRANCH",
        "CI_COMMIT_SOURCE_BRANCH",
        "CI_COMMIT_TARGET_BRANCH",
        "CI_COMMIT_TAG",
        "CI_COMMIT_PULL_REQUEST",
        "CI_COMMIT_MESSAGE",
        "CI_COMMIT_AUTHOR",
        "CI_COMMIT_AUTHOR_EMAIL",
        "CI_PIPELINE_NUMBER",
        "CI_PIPELINE_EVENT",
        "CI_PIPELINE_CREATED",
        "CI_PIPELINE_FILES",
        "CI_PIPELINE_CRON",
        "CI_WORKFLOW_NAME",
        "CI_WORKFLOW_NUMBER",
        "CI_STEP_NAME",
        "CI_STEP_NUMBER",
        "CI_STEP_TYPE",
        "CI_WORKSPACE",
        "CI_SYSTEM_NAME",
        "CI_SYSTEM_HOST",
        "CI_SYSTEM_PLATFORM",
    }
)


def variables(
    event: Event,
    *,
    number: int,
    workflow: str,
    workflow_number: int,
    workspace: str,
    machine: str = "",
) -> dict[str, str]:
    """The variables that all containers of one Stage share: `number` is the build's, `workflow` the Stage's name."""
    owner, _, name = event.repository.rpartition("/")
    pull_request = event.kind is EventKind.PULL_REQUEST
    files = event.changed_files
    values = {
        "CI": SYSTEM_NAME,
        "CI_REPO": event.repository,
        "CI_REPO_OWNER": owner,
        "CI_REPO_NAME": name,
        "CI_REPO_URL": _page(event.remote_url),
        "CI_REPO_CLONE_URL": event.remote_url,
        "CI_REPO_DEFAULT_BRANCH": event.default_branch,
        "CI_COMMIT_SHA": event.commit,
        "CI_COMMIT_REF": event.full_ref,
        "CI_COMMIT_REFSPEC": f"{event.source_branch}:{event.branch}" if pull_request else "",
        "CI_COMMIT_BRANCH": event.branch,
        "CI_COMMIT_SOURCE_BRANCH": event.source_branch if pull_request else "",
        "CI_COMMIT_TARGET_BRANCH": event.branch if pull_request else "",
        # Only for the event itself: scripts ask `[ -n "$CI_COMMIT_TAG" ]` to decide whether to publish.
        "CI_COMMIT_TAG": event.tag if event.kind is EventKind.TAG else "",
        "CI_COMMIT_PULL_REQUEST": str(event.pull_request) if event.pull_request else "",
        "CI_COMMIT_MESSAGE": event.message,
        "CI_COMMIT_AUTHOR": event.author,
        "CI_COMMIT_AUTHOR_EMAIL": event.author_email,
        "CI_PIPELINE_NUMBER": str(number),
        "CI_PIPELINE_EVENT": event.kind.value,
        "CI_PIPELINE_CREATED": str(event.created) if event.created else "",
        "CI_PIPELINE_FILES": _files(files) if files and len(files) <= FILES_LIMIT else "",
        "CI_PIPELINE_CRON": event.cron,
        "CI_WORKFLOW_NAME": workflow,
        "CI_WORKFLOW_NUMBER": str(workflow_number),
        "CI_WORKSPACE": workspace,
        "CI_SYSTEM_NAME": SYSTEM_NAME,
        "CI_SYSTEM_HOST": event.instance,
        "CI_SYSTEM_PLATFORM": event.platform,
        "CI_MACHINE": machine,
    }
    return {key: _fit(value) for key, value in values.items() if value}


def step_variables(name: str, number: int, kind: str) -> dict[str, str]:
    """The variables of one container:

    `number` counts from 1 in the file's order, `kind` is `commands`, `plugin` or `service`.
    """
    return {"CI_STEP_NAME": name, "CI_STEP_NUMBER": str(number), "CI_STEP_TYPE": kind}


def _fit(value: str) -> str:
    """A value that an environment can hold: no NUL (git allows one in a message), not too long, no half characters."""
    if "\0" in value:
        value = value.replace("\0", "")
    if len(value) > VALUE_LIMIT // 4:
        return value.encode("utf-8", "replace")[:VALUE_LIMIT].decode("utf-8", "ignore")
    return value


def _page(remote_url: str) -> str:
    """The web page that belongs to a remote, for the forms that all forges share."""
    url = remote_url.removesuffix(".git")
    if url.startswith(("https://", "http://")):
        return url
    return ""


def _files(paths: Sequence[str]) -> str:
    """The paths as a JSON list, as in Woodpecker."""
    import json  # noqa: PLC0415  lint needs the names of this module only

    return json.dumps(paths, ensure_ascii=False)
