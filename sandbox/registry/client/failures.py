"""What can go wrong between us and a registry, each as one line that says what to do.

Raised by `transport` (nobody answers) and by whoever reads an answer (`refused`).
"""

from __future__ import annotations

import errno
import os
import re
import ssl

import urllib3.exceptions as http

from sandbox.errors import SandboxError
from sandbox.registry import errors

CONNECT_PATIENCE = 10.0  # seconds
READ_PATIENCE = 60.0  # seconds without a byte
_PAGE = 1 << 16  # bytes of an error's body that are read


class RegistryError(SandboxError):
    """A registry did not do it. `status` is HTTP's, 0 where nobody answered.

    `passing`: worth trying again in a moment. `elsewhere`: another server of the registry may do better.
    """

    reference = "registry-failed"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        reference: str | None = None,
        status: int = 0,
        passing: bool = False,
        elsewhere: bool = True,
    ) -> None:
        super().__init__(message, hint=hint, reference=reference)
        self.status = status
        self.passing = passing
        self.elsewhere = elsewhere


def wrong(message: str, reference: str = "registry-content") -> RegistryError:
    """The registry sent what it should not have sent."""
    return RegistryError(message, reference=reference)


def unreachable(host: str, error: Exception, proxy: str = "") -> RegistryError:
    """Nobody answered, or not to the end: what `urllib3` raised."""
    cause: BaseException = error
    if isinstance(error, http.MaxRetryError) and error.reason is not None:
        cause = error.reason
    if isinstance(cause, http.ProxyError):
        return RegistryError(
            f"the proxy {proxy} does not lead to registry {host}: {_reason(cause.original_error)}",
            hint="it comes from the environment: https_proxy, http_proxy, no_proxy",
            reference="registry-proxy",
        )
    if isinstance(cause, http.SSLError | ssl.SSLError):
        return _insecure(host, cause)
    if isinstance(cause, http.NewConnectionError | http.ConnectTimeoutError | http.LocationValueError):
        return _unconnected(host, cause)
    silent = isinstance(cause, http.ReadTimeoutError)
    how = f"was silent for {READ_PATIENCE:.0f} s" if silent else f"broke the connection off: {_reason(cause)}"
    return RegistryError(f"registry {host} {how}", reference="registry-broke-off", passing=True)


def refused(status: int, body: bytes, what: str, host: str, wait: str = "") -> RegistryError:
    """An answer that is none: `what` was asked for (`docker.io/library/busybox:latest`). `wait` is its Retry-After."""
    problems = errors.parse(body[:_PAGE])
    said = "; ".join(filter(None, (problem.message or problem.code for problem in problems)))
    says = f": {said}" if said else ""
    if status == 401:
        return RegistryError(
            f"registry {host} wants a login for {what}{says}",
            hint=f"sandbox login {host}; it also says so of names that are not there",
            reference="registry-unauthorized",
            status=status,
        )
    if status == 403:
        return RegistryError(
            f"registry {host} denies access to {what}{says}",
            hint="the account that is logged in may not do this",
            reference="registry-denied",
            status=status,
        )
    if status == 404:
        return RegistryError(
            f"registry {host} has no {what}{says}",
            hint="check the name and the tag",
            reference="registry-not-found",
            status=status,
        )
    if status == 429:
        return RegistryError(
            f"registry {host} wants fewer requests{says}",
            hint=f"try again in {wait} s, or log in" if wait.isdigit() else "try again later, or log in",
            reference="registry-too-many-requests",
            status=status,
        )
    if status in (400, 405, 413, 416, 415):
        return RegistryError(f"registry {host} does not take the request for {what} ({status}){says}", status=status)
    return RegistryError(
        f"registry {host} failed with status {status} at {what}{says}", status=status, passing=status >= 500
    )


def _unconnected(host: str, error: BaseException) -> RegistryError:
    """Nobody is there."""
    hint = "check the network, and whether a proxy is needed (https_proxy)"
    if _errno(error) == errno.ECONNREFUSED:
        message, hint = f"registry {host} refuses connections", "does it run, and at this port?"
    elif isinstance(error, http.NameResolutionError):
        message, hint = f"the name of registry {host} cannot be resolved", "check its spelling, and the network (DNS)"
    elif isinstance(error, http.ConnectTimeoutError) and not _errno(error):
        message = f"registry {host} does not answer: no connection within {CONNECT_PATIENCE:.0f} s"
    else:
        message = f"cannot connect to registry {host}: {_reason(error)}"
    return RegistryError(message, hint=hint, reference="registry-unreachable")


def _insecure(host: str, error: BaseException) -> RegistryError:
    text = str(error).lower()
    if "wrong version number" in text or "record layer failure" in text or "http request" in text:
        return RegistryError(
            f"registry {host} does not speak TLS",
            hint=f'if that is right, certs.d/{host}/hosts.toml says server = "http://{host}", or --tls-verify=false',
            reference="registry-tls",
        )
    verification = re.search(r"certificate verify failed: ([^(\]]*)", text)
    if verification:
        return RegistryError(
            f"the certificate of registry {host} is not to be trusted: {verification.group(1).strip()}",
            hint=f"its authority's certificate belongs into certs.d/{host}/ca.crt",
            reference="registry-tls",
        )
    if "doesn't match" in text or "mismatch" in text:
        return RegistryError(f"the certificate of registry {host} is for another host", reference="registry-tls")
    return RegistryError(f"no TLS connection with registry {host}: {_reason(error)}", reference="registry-tls")


def _errno(error: BaseException) -> int:
    """The kernel's number below an exception of the library."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.errno is not None:
            return below.errno
        below = below.__cause__ or below.__context__
    return 0


def _reason(error: BaseException) -> str:
    """The kernel's or the library's word for it, without the library's objects in it."""
    number = _errno(error)
    if number in errno.errorcode:  # TLS has numbers of its own
        return os.strerror(number).lower()
    if isinstance(error, http.ProtocolError) and error.args:  # the second is the cause, which the first tells
        error = Exception(error.args[0])
    text = re.sub(r"<[^>]*>(\([^)]*\))?:? ?", "", str(error))
    return "".join(one if one.isprintable() else " " for one in text)[:200].lower() or type(error).__name__
