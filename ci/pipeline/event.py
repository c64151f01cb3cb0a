"""What happened, as facts: the event that a build is made for.

Filled by `ci.git` from a work tree (`ci-run local`) or by the server from a webhook; read by `conditions` and
`variables`. Everything in it may have been written by a stranger (a branch's name, a commit's message): it is only ever
a value, never part of a script or of YAML.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

NULL_COMMIT = "0" * 40  # git's own name for "no commit"


class EventKind(StrEnum):
    """The kinds of event, as `when.event` names them in our dialect; other dialects have names of their own."""

    PUSH = "push"
    TAG = "tag"
    PULL_REQUEST = "pull_request"
    PULL_REQUEST_CLOSED = "pull_request_closed"
    PULL_REQUEST_METADATA = "pull_request_metadata"
    RELEASE = "release"
    DEPLOYMENT = "deployment"
    ROLLBACK = "rollback"
    CRON = "cron"
    MANUAL = "manual"

    @property
    def of_pull_request(self) -> bool:
        """Whether something happened to a pull request."""
        return self in {self.PULL_REQUEST, self.PULL_REQUEST_CLOSED, self.PULL_REQUEST_METADATA}

    @property
    def of_tag(self) -> bool:
        """Whether it is about a tag, so that it is on no branch."""
        return self in {self.TAG, self.RELEASE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Previous:
    """The build before this one, of the same branch: its number, how it ended, and the event it was made for."""

    number: int
    status: str
    event: Event
    started: int = 0  # seconds since 1970
    finished: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The facts of an event. Empty: not known, or not so.

    `branch` is the branch pushed to, and for a pull request the branch it wants to go to (as in drone and Woodpecker);
    `source_branch` is where it comes from. `ref` empty: made from the others by `full_ref`. `changed_files` are paths
    in the repository with `/`; None: not known, and then a `path` condition holds. `platform` and `instance` tell where
    the build is going to run.
    """

    kind: EventKind = EventKind.PUSH
    branch: str = ""
    source_branch: str = ""
    tag: str = ""
    ref: str = ""
    commit: str = NULL_COMMIT
    message: str = ""
    committed: int = 0  # when, in seconds since 1970
    author: str = ""
    author_email: str = ""
    repository: str = ""  # owner/name
    remote_url: str = ""  # without credentials
    ssh_url: str = ""
    repository_id: str = ""  # what the forge calls it by, whatever its name
    private: bool = False
    trusted: bool = False  # its steps may reach out of their containers
    forge: str = ""  # the kind: github, gitea, …
    forge_url: str = ""
    default_branch: str = ""
    pull_request: int = 0
    pull_request_title: str = ""
    draft: bool = False  # the pull request is not to be merged yet
    fork: bool = False  # the pull request comes from another repository
    labels: tuple[str, ...] = ()  # of the pull request
    milestone: str = ""
    action: str = ""  # what happened to the pull request, where the forge says it: opened, synchronized, closed
    sender: str = ""  # whose doing it is: a login
    sender_id: str = ""  # the forge's own: a login can be another's by now
    sender_avatar: str = ""
    author_login: str = ""
    author_avatar: str = ""
    link: str = ""  # a page of the forge: the commit, the comparison, the pull request
    before: str = ""  # the branch's commit before the push
    release_title: str = ""
    prerelease: bool = False  # of a release
    deploy_target: str = ""
    deploy_task: str = ""
    parent: int = 0  # the number of the build that this one repeats or deploys
    reruns: int = 0  # how often this build was begun again
    parameters: tuple[tuple[str, str], ...] = ()  # given by the person who asked for a manual build
    cron: str = ""  # the name of the schedule
    changed_files: tuple[str, ...] | None = None
    dirty: bool = False  # the work tree has changes that are not committed
    created: int = 0  # seconds since 1970
    platform: str = "linux/amd64"
    instance: str = ""  # the server's host name; empty for a local run
    server_url: str = ""
    build_url: str = ""  # the build's page
    previous: Previous | None = None

    @property
    def full_ref(self) -> str:
        """`ref`, or what git would call it."""
        if self.ref:
            return self.ref
        if self.kind.of_tag and self.tag:
            return f"refs/tags/{self.tag}"
        if self.kind.of_pull_request and self.pull_request:
            return f"refs/pull/{self.pull_request}/head"
        return f"refs/heads/{self.branch}" if self.branch else ""


def platform(system: str, machine: str) -> str:
    """The name of a platform in conditions and images: `linux/amd64` for the `Linux` and `x86_64` of uname(2)."""
    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386", "i386": "386"}
    return f"{system.lower()}/{names.get(machine, machine)}"
