"""The login at the project's git server, for steps that fetch from there: variables, and a file `.netrc` of their user.

drone and Woodpecker give it to steps of private repositories as `DRONE_NETRC_…` and `CI_NETRC_…`. Commands find the
file, which git, curl and many others read (curl's manual, "netrc"), and no variables; plugins find the variables. The
password is a secret as any other. Pure; called by whoever has a login to give.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ci.pipeline.spec import StageSpec, StepSpec

PASSWORD = "CI_NETRC_PASSWORD"  # noqa: S105  (the secret's name, and the variable's)
_PREFIXES = ("CI_NETRC_", "DRONE_NETRC_")

# Begins a script of a POSIX shell. A user without a home, or who may not write there, goes without.
SCRIPT = """\
if [ -n "${CI_NETRC_MACHINE:-}" ] && [ -w "${HOME:-/}" ]; then
(umask 077; printf 'machine %s\\nlogin %s\\npassword %s\\n' \
"$CI_NETRC_MACHINE" "$CI_NETRC_USERNAME" "$CI_NETRC_PASSWORD" > "${HOME:-}/.netrc")
fi
unset CI_NETRC_MACHINE CI_NETRC_USERNAME CI_NETRC_PASSWORD
unset DRONE_NETRC_MACHINE DRONE_NETRC_USERNAME DRONE_NETRC_PASSWORD
"""


def with_login(stages: Iterable[StageSpec], machine: str, login: str) -> tuple[StageSpec, ...]:
    """The Stages, whose steps have the login; the secret PASSWORD is to be given with the others."""
    return tuple(replace(stage, steps=tuple(_step(step, machine, login) for step in stage.steps)) for stage in stages)


def with_login_to_clone(stage: StageSpec, machine: str, login: str) -> StageSpec:
    """The Stage, whose steps that clone have the login, and no others."""
    names = stage.clone.steps
    return replace(
        stage, steps=tuple(_step(step, machine, login) if step.name in names else step for step in stage.steps)
    )


def _step(step: StepSpec, machine: str, login: str) -> StepSpec:
    known = {"MACHINE": machine, "USERNAME": login}
    plain = {f"{prefix}{name}": value for prefix in _PREFIXES for name, value in known.items()}
    secret = {f"{prefix}PASSWORD": PASSWORD for prefix in _PREFIXES}
    return replace(step, environment={**step.environment, **plain}, secrets={**step.secrets, **secret})
