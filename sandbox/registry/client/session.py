"""What pulls and pushes of one command share: connections, tokens, and the files that say where registries are."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from sandbox.registry.client import hosts
from sandbox.registry.client.authorizing import Authorizer
from sandbox.registry.client.dockerconfig import DockerConfig, GivenLogins
from sandbox.registry.client.failures import RegistryError
from sandbox.registry.client.hosts import Trust
from sandbox.registry.client.repository import Repository
from sandbox.registry.client.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from sandbox.image.reference import Reference
    from sandbox.registry.client.dockerconfig import Credential
    from sandbox.registry.client.hosts import Endpoint
    from sandbox.registry.client.retrying import Retrying


Server = TypeVar("Server")
Found = TypeVar("Found")


class Session:
    """`with Session(home) as session:`. `verify=False`: registries may have any certificate, or none.

    `logins` are texts of docker's `config.json` that go before the user's.
    """

    def __init__(
        self,
        home: Path,
        *,
        environment: Mapping[str, str] = os.environ,
        verify: bool = True,
        retrying: Retrying | None = None,
        logins: Sequence[str] = (),
    ) -> None:
        self.transport = Transport(environment, retrying=retrying)
        self.stop = self.transport.stop
        self.config = DockerConfig.of(environment)
        self._given = GivenLogins(logins)
        self._folders = hosts.search_paths(environment, home)
        self._verify = verify
        self._authorizers: dict[tuple[str, str], Authorizer] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self.transport.close()

    def repositories(self, reference: Reference, *actions: str) -> tuple[Repository, ...]:
        """The repository at every server that may be asked for it, in turn. Raises RegistryError where none may."""
        needed = hosts.PUSH if "push" in actions else hosts.RESOLVE
        found = tuple(
            self._repository(reference, endpoint, actions)
            for endpoint in self._endpoints(reference.domain)
            if needed in endpoint.capabilities and not (endpoint.namespace and needed == hosts.PUSH)
        )
        if not found:
            raise RegistryError(
                f"no server of registry {reference.domain} may be asked to {needed}",
                hint=f"see capabilities in certs.d/{reference.domain}/hosts.toml",
            )
        return found

    def log_in(self, domain: str, credential: Credential) -> Credential:
        """Try a credential at a registry; what to keep of it. Raises RegistryError where it is not accepted."""
        tried = [endpoint for endpoint in self._endpoints(domain) if not endpoint.namespace]
        return first_of(tried, lambda endpoint: self._log_in(endpoint, domain, credential))

    def _endpoints(self, domain: str) -> tuple[Endpoint, ...]:
        return tuple(map(self._spoken, hosts.endpoints(domain, self._folders, verify=self._verify)))

    def _spoken(self, endpoint: Endpoint) -> Endpoint:
        """One that may do without TLS, asked whether it does; before anybody says who he is."""
        if not endpoint.may_be_plain:
            return endpoint
        try:
            url = f"{endpoint.url}/"
            self.transport.send("GET", url, trust=endpoint.trust, headers=dict(endpoint.headers), once=True).close()
        except RegistryError as error:
            if error.reference != "registry-tls":
                raise
            return replace(endpoint, url=endpoint.url.replace("https://", "http://", 1), trust=Trust())
        return endpoint

    def _log_in(self, endpoint: Endpoint, domain: str, credential: Credential) -> Credential:
        authorizer = Authorizer(self.transport, endpoint, lambda: credential)
        server = Repository(self.transport, authorizer, endpoint, "", name=domain)
        with server.ping(authorized=False) as answer:
            kept = authorizer.log_in(answer) if answer.status == 401 else credential
        if not kept.identity_token:
            try:
                server.ping(authorized=True).close()
            except RegistryError as error:
                if error.status != 401:
                    raise
                raise RegistryError(
                    f"registry {domain} does not accept the login of {credential.username}",
                    reference="registry-unauthorized",
                    status=401,
                ) from None
        return kept

    def _repository(self, reference: Reference, endpoint: Endpoint, actions: tuple[str, ...]) -> Repository:
        key = (endpoint.url, reference.path)
        authorizer = self._authorizers.get(key)
        if authorizer is None:
            authorizer = Authorizer(self.transport, endpoint, lambda: self._credential(reference, endpoint))
            self._authorizers[key] = authorizer
        return Repository(
            self.transport,
            authorizer,
            endpoint,
            reference.path,
            name=reference.name,
            actions=actions or ("pull",),
        )

    def _credential(self, reference: Reference, endpoint: Endpoint) -> Credential | None:
        where = (endpoint.host, "") if endpoint.namespace else (reference.domain, reference.path)
        return self._given.find(*where) or self.config.find(*where)


def first_of(servers: Sequence[Server], ask: Callable[[Server], Found]) -> Found:
    """What the first server says that says something. Where none does: the trouble of the last one that answered at
    all, which is the registry itself rather than a mirror.
    """
    trouble: RegistryError | None = None
    for server in servers:
        try:
            return ask(server)
        except RegistryError as error:
            if trouble is None or error.status or not trouble.status:
                trouble = error
            if not error.elsewhere:
                break
    if trouble is None:
        raise RegistryError("no server to ask")
    raise trouble
