"""HTTP to registries: requests, tried again where that may help, and answers that are read as they come.

The one module that calls urllib3. Redirects are followed here and not there: another host gets neither our credentials
nor our certificate (CVE-2020-15157), and nobody leads us from https to http. Thread-safe.
"""

from __future__ import annotations

import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import urllib3
import urllib3.exceptions

from sandbox.errors import InvalidError, LimitError
from sandbox.registry.client.failures import CONNECT_PATIENCE, READ_PATIENCE, RegistryError, unreachable
from sandbox.registry.client.hosts import Trust
from sandbox.registry.client.proxies import Proxies
from sandbox.registry.client.retrying import PASSING, Retrying, Stop

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_MOST_REDIRECTS = 5
_CONNECTIONS = 8  # to one host, kept open
_OWN = frozenset(("authorization", "cookie"))
_COMMON = {"User-Agent": "hako", "Accept-Encoding": "identity"}


class Answer:
    """`with transport.send(…) as answer:`. The body is read as it comes; left early, the connection is closed."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: str) -> None:
        self._response = response
        self.status = response.status
        self.url = url  # where it came from, after redirects
        self._complete = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def host(self) -> str:
        """Who answered."""
        return urlsplit(self.url).netloc

    def header(self, name: str) -> str:
        """A header, in any case; several of one name joined by commas; empty where there is none."""
        return self._response.headers.get(name, "")

    def headers(self, name: str) -> list[str]:
        """Every header of that name."""
        return self._response.headers.getlist(name)

    def read(self, size: int, /) -> bytes:
        """The next bytes, none at the end. Raises RegistryError where the connection breaks, or a body is cut short."""
        try:
            data = self._response.read(size, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(self.host, error) from error
        self._complete = not data
        return data

    def whole(self, limit: int) -> bytes:
        """A small body. Raises LimitError for one of more than `limit` bytes, as soon as that is known."""
        parts: list[bytes] = []
        length = 0
        while data := self.read(1 << 16):
            length += len(data)
            if length > limit:
                raise LimitError(f"{self.host} answers with more than {limit} bytes where a document was to come")
            parts.append(data)
        return b"".join(parts)

    def beginning(self, size: int) -> bytes:
        """The first bytes of a body that may be of any length, or break off."""
        data = b""
        with suppress(RegistryError):
            while len(data) < size and (more := self.read(size - len(data))):
                data += more
        return data

    def close(self) -> None:
        """Give the connection back where the body was read, else end it."""
        if self._complete:
            self._response.release_conn()
        else:
            self._response.close()


class Transport:
    """Connections to any number of servers. `environment` names the proxies; `stop` ends waiting."""

    def __init__(
        self, environment: Mapping[str, str], *, retrying: Retrying | None = None, stop: Stop | None = None
    ) -> None:
        self.retrying = retrying or Retrying()
        self.stop = stop or Stop()
        self._proxies = Proxies(environment)
        self._pools: dict[tuple[Trust, str], urllib3.PoolManager] = {}
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        *,
        trust: Trust,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None = None,
        once: bool = False,
    ) -> Answer:
        """One request, and the answer with any status. Tried again when the trouble may pass, unless `once`: for a body
        that can be read once, or a request that must not be made twice. Raises RegistryError.
        """
        attempt = 0
        while True:
            attempt += 1
            said = ""
            try:
                answer = self._follow(method, url, trust, headers, body)
            except RegistryError as error:
                pause = self.retrying.pause(attempt) if error.passing and not once else None
                if pause is None or self.stop.is_set:
                    raise
            else:
                if answer.status not in PASSING or once:
                    return answer
                said = answer.header("Retry-After")
                pause = self.retrying.pause(attempt, said)
                if pause is None or self.stop.is_set:
                    return answer
                answer.close()
            self.stop.sleep(pause)

    def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.clear()

    def _follow(
        self,
        method: str,
        url: str,
        trust: Trust,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> Answer:
        first = urlsplit(url)
        headers = {**_COMMON, **headers}
        for _ in range(_MOST_REDIRECTS + 1):
            answer = self._once(method, url, trust, headers, body)
            location = answer.header("Location")
            if answer.status not in _REDIRECTS or method not in ("GET", "HEAD") or not location:
                return answer
            answer.close()
            there = urlsplit(urljoin(url, location))
            if there.scheme not in ("http", "https") or not there.hostname:
                raise RegistryError(f"registry {first.netloc} leads to {_shown(location)}, which is no web address")
            if first.scheme == "https" and there.scheme == "http":
                raise RegistryError(
                    f"registry {first.netloc} leads from https to http ({_shown(there.netloc)})",
                    hint="what is fetched so could be read by others on the way",
                    reference="registry-tls",
                )
            if (there.scheme, there.netloc) != (urlsplit(url).scheme, urlsplit(url).netloc):
                headers = {name: value for name, value in headers.items() if name.lower() not in _OWN}
                trust = Trust(verify=trust.verify, authorities=trust.authorities)
            url = there.geturl()
        raise RegistryError(f"registry {first.netloc} leads us on more than {_MOST_REDIRECTS} times")

    def _once(
        self,
        method: str,
        url: str,
        trust: Trust,
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> Answer:
        proxy = self._proxies.find(url)
        try:
            response = self._pool(trust, proxy).urlopen(
                method,
                url,
                body=body,
                headers=dict(headers),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(urlsplit(url).netloc, error, urlsplit(proxy).netloc.rpartition("@")[2]) from error
        return Answer(response, url)

    def _pool(self, trust: Trust, proxy: str) -> urllib3.PoolManager:
        with self._lock:
            pool = self._pools.get((trust, proxy))
            if pool is None:
                pool = self._pools[trust, proxy] = _make_pool(trust, proxy)
            return pool


def _make_pool(trust: Trust, proxy: str) -> urllib3.PoolManager:
    context = ssl.create_default_context()
    if not trust.verify:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # somebody has said so
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for path in trust.authorities:
        try:
            context.load_verify_locations(path)
        except (OSError, ssl.SSLError) as error:
            raise InvalidError(f"cannot read the certificates in {path}: {error}", reference="certificate") from None
    for certificate, key in trust.certificates:
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidError(f"cannot read certificate and key {certificate}: {error}") from None
    timeout = urllib3.Timeout(connect=CONNECT_PATIENCE, read=READ_PATIENCE)
    if not proxy:
        return urllib3.PoolManager(maxsize=_CONNECTIONS, ssl_context=context, timeout=timeout)
    if urlsplit(proxy).scheme not in ("http", "https"):
        raise InvalidError(
            f"the proxy {urlsplit(proxy).netloc.rpartition('@')[2]} is not one for http",
            hint="SOCKS is not spoken here",
        )
    user = urlsplit(proxy).netloc.rpartition("@")[0]
    return urllib3.ProxyManager(
        proxy,
        proxy_headers=urllib3.make_headers(proxy_basic_auth=urllib3.util.parse_url(proxy).auth) if user else None,
        maxsize=_CONNECTIONS,
        ssl_context=context,
        timeout=timeout,
    )


def _shown(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text[:200])
