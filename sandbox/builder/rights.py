"""What a RUN may have of the host: only what the caller of the build has allowed, never what a Dockerfile says alone.

BuildKit calls these entitlements. Source: "RUN --security", "RUN --network" and "RUN --device" in docker's Dockerfile
reference, `docker buildx build --allow`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.builder.options import Entitlement
from sandbox.errors import InvalidError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Container

    from sandbox.dockerfile.instructions import Run

_NETWORKS = ("default", "none", "host")
_SECURITY = ("sandbox", "insecure")


def check_rights(instruction: Run, network: str, security: str, allowed: Container[Entitlement]) -> None:
    """Refuse a RUN whose `network` and `security`, with variables replaced, are not allowed."""
    place = f"RUN in line {instruction.span.line}"
    for flag, value, choices in (("network", network, _NETWORKS), ("security", security, _SECURITY)):
        if value not in choices:
            raise InvalidError(f"{place}: --{flag} is one of {', '.join(choices)}, not {value!r}")
    if instruction.devices:
        raise UnsupportedError(
            f"{place}: --device {instruction.devices[0]!r} names a CDI device, and there are none here",
            hint="run the command in a container with --device, and commit it",
        )
    if security == "insecure":
        _require(Entitlement.INSECURE, place, "all rights", allowed)
    if network == "host":
        _require(Entitlement.HOST_NETWORK, place, "the host's network", allowed)


def _require(right: Entitlement, place: str, what: str, allowed: Container[Entitlement]) -> None:
    if right not in allowed:
        raise InvalidError(
            f"{place} wants {what}, which this build does not allow",
            hint=f"allow it with --allow {right}",
            reference="not-allowed",
        )
