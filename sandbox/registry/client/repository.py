"""One repository at one server: the requests of the OCI Distribution specification 1.1 that a client makes.

Each method is one of its end points; answers are checked for what they claim (digest, size, type). Thread-safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

from sandbox.errors import InvalidError, LimitError
from sandbox.image import digest as digests
from sandbox.registry import media
from sandbox.registry.client.authorizing import scope
from sandbox.registry.client.failures import RegistryError, refused, wrong

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.image.digest import Digest
    from sandbox.image.manifest import Descriptor
    from sandbox.registry.client.authorizing import Authorizer, Scopes
    from sandbox.registry.client.hosts import Endpoint
    from sandbox.registry.client.transport import Answer, Transport

MANIFEST_LIMIT = 4 << 20  # bytes; the specification's advice, and what registries take
_ERROR_PAGE = 1 << 16  # bytes
_TAGS = 10_000


class Document(NamedTuple):
    """A manifest or an index, as it came; its digest is of these very bytes."""

    data: bytes
    media_type: str
    digest: Digest


class Chunk(NamedTuple):
    """How far an upload has come: where it goes on, and with which byte."""

    location: str
    offset: int


class Repository:
    """`path` at `endpoint`; `name` is what people call it. `actions` are what tokens are asked for: pull, push."""

    def __init__(
        self,
        transport: Transport,
        authorizer: Authorizer,
        endpoint: Endpoint,
        path: str,
        *,
        name: str,
        actions: tuple[str, ...] = ("pull",),
    ) -> None:
        self._transport = transport
        self._authorizer = authorizer
        self.endpoint = endpoint
        self.path = path
        self.name = name
        self._scopes: Scopes = frozenset((scope(path, *actions),))

    # -- manifests

    def manifest(self, target: str) -> Document:
        """The manifest or index of a tag or digest. Raises RegistryError, LimitError."""
        what = f"{self.name}{'@' if ':' in target else ':'}{target}"
        url = self._url(f"manifests/{target}")
        with self._ask("GET", url, what, headers={"Accept": ", ".join(media.DOCUMENTS)}) as answer:
            data = answer.whole(MANIFEST_LIMIT)
            said = answer.header("Docker-Content-Digest")
            kind = answer.header("Content-Type").partition(";")[0].strip().lower()
        digest = digests.of(data)
        wanted = target if ":" in target else said if said.startswith(digests.PREFIX) else ""
        if wanted and digest != wanted:
            raise wrong(
                f"registry {answer.host} sends {what} with the digest {digest}, not {wanted[:80]}", "digest-mismatch"
            )
        return Document(data, kind, digest)

    def named(self, tag: str) -> str:
        """The digest of what a tag names, without fetching it; empty where the registry does not say."""
        headers = {"Accept": ", ".join(media.DOCUMENTS)}
        with self._ask("HEAD", self._url(f"manifests/{tag}"), f"{self.name}:{tag}", headers) as answer:
            return answer.header("Docker-Content-Digest")

    def put_manifest(self, target: str, data: bytes, media_type: str) -> None:
        """Give a manifest, whose blobs are there, the name `target`."""
        what = f"{self.name}:{target}"
        self._ask(
            "PUT", self._url(f"manifests/{target}"), what, {"Content-Type": media_type}, body=data, expected=(201, 200)
        ).close()

    def tags(self) -> tuple[str, ...]:
        """All tags, page by page."""
        found: list[str] = []
        url = self._url("tags/list")
        while url:
            with self._ask("GET", url, self.name) as answer:
                body = answer.whole(MANIFEST_LIMIT)
                following = _next_page(answer.header("Link"))
            found += _listed(body, self.endpoint.host)
            if len(found) > _TAGS:
                raise wrong(f"registry {self.endpoint.host} lists more than {_TAGS} tags of {self.name}")
            url = self._elsewhere(urljoin(url, following)) if following else ""
        return tuple(dict.fromkeys(found))

    # -- blobs

    def blob(self, descriptor: Descriptor, start: int = 0) -> tuple[Answer, int]:
        """A blob from byte `start` on, or from its beginning: which of both, says the number. The caller closes the
        answer, and checks what it reads.
        """
        what = f"blob {descriptor.digest.short} of {self.name}"
        headers = {"Range": f"bytes={start}-"} if start else {}
        url = self._url(f"blobs/{descriptor.digest}")
        answer = self._ask("GET", url, what, headers, expected=(200, 206, 416) if start else (200,))
        if answer.status == 416:
            answer.close()
            return self.blob(descriptor)
        begin = 0
        if answer.status == 206:
            begin = _range_start(answer.header("Content-Range"))
            if begin != start:
                answer.close()
                raise wrong(f"registry {answer.host} sends another part of {what} than was asked for")
        length = answer.header("Content-Length")
        if length.isdigit() and int(length) != descriptor.size - begin:
            answer.close()
            raise wrong(
                f"registry {answer.host} sends {int(length) + begin} bytes for {what}, whose manifest says "
                f"{descriptor.size}",
                "size-mismatch",
            )
        return answer, begin

    def small_blob(self, descriptor: Descriptor, limit: int) -> bytes:
        """A whole blob in memory, which is what its descriptor says. Raises RegistryError, LimitError."""
        if descriptor.size > limit:
            raise LimitError(
                f"blob {descriptor.digest.short} of {self.name} has {descriptor.size} bytes; {limit} may be"
            )
        answer, _ = self.blob(descriptor)
        with answer:
            data = answer.whole(limit)
        if digests.of(data) != descriptor.digest or len(data) != descriptor.size:
            raise wrong(
                f"registry {answer.host} sends other bytes for blob {descriptor.digest.short} than its digest says",
                "digest-mismatch",
            )
        return data

    def has_blob(self, digest: Digest) -> bool:
        """Whether a blob is there."""
        url = self._url(f"blobs/{digest}")
        with self._ask("HEAD", url, f"blob {digest.short} of {self.name}", expected=(200, 404)) as answer:
            return answer.status == 200

    def blob_size(self, digest: Digest) -> int | None:
        """How many bytes a blob has; None where it is not there, or the registry does not say."""
        url = self._url(f"blobs/{digest}")
        with self._ask("HEAD", url, f"blob {digest.short} of {self.name}", expected=(200, 404)) as answer:
            length = answer.header("Content-Length")
            return int(length) if answer.status == 200 and length.isascii() and length.isdigit() else None

    # -- uploads

    def mount(self, digest: Digest, source: str) -> Chunk | None:
        """Take a blob over from the repository `source` of the same registry: None when that was done, else an upload
        has begun.
        """
        query = urlencode({"mount": digest, "from": source})
        return self._begin(query, frozenset((scope(source, "pull"),)))

    def begin_upload(self) -> Chunk:
        """A new upload."""
        begun = self._begin("", frozenset())
        if begun is None:
            raise wrong(f"registry {self.endpoint.host} says that an upload is done that was not begun")
        return begun

    def send_chunk(self, chunk: Chunk, pieces: Iterable[bytes], length: int | None = None) -> Chunk:
        """Send the next bytes, of unknown length where that is None. Raises RegistryError; then `progress` tells what
        has arrived.
        """
        headers = {"Content-Type": media.OCTETS}
        if length is not None:
            headers |= {
                "Content-Length": str(length),
                "Content-Range": f"{chunk.offset}-{chunk.offset + length - 1}",
            }
        answer = self._ask(
            "PATCH", chunk.location, f"upload to {self.name}", headers, body=pieces, expected=(202, 204, 201), once=True
        )
        with answer:
            return self._chunk(answer, chunk.location)

    def progress(self, chunk: Chunk) -> Chunk:
        """How far an upload has come that was broken off."""
        with self._ask("GET", chunk.location, f"upload to {self.name}", expected=(204, 200, 202)) as answer:
            return self._chunk(answer, chunk.location)

    def finish_upload(self, chunk: Chunk, digest: Digest, body: bytes = b"") -> None:
        """The upload's last bytes, or all of them, and its digest, with which the registry compares it."""
        parts = urlsplit(chunk.location)
        query = "&".join(filter(None, (parts.query, urlencode({"digest": digest}))))
        url = parts._replace(query=query).geturl()
        headers = {"Content-Type": media.OCTETS, "Content-Length": str(len(body))}
        what = f"blob {digest.short} of {self.name}"
        self._ask("PUT", url, what, headers, body=body, expected=(201, 204), once=True).close()

    def _begin(self, query: str, more: Scopes) -> Chunk | None:
        url = self._url("blobs/uploads/", query)
        with self._ask(
            "POST", url, self.name, {"Content-Length": "0"}, expected=(201, 202), more=more, body=b""
        ) as answer:
            return None if answer.status == 201 else self._chunk(answer, url)

    def _chunk(self, answer: Answer, url: str) -> Chunk:
        location = answer.header("Location")
        first, _, last = answer.header("Range").partition("-")
        offset = int(last) + 1 if first == "0" and last.isascii() and last.isdigit() else 0
        # `0-0` means nothing or one byte: chunks are never one byte long here
        return Chunk(self._elsewhere(urljoin(url, location)) if location else url, 0 if offset == 1 else offset)

    # -- requests

    def ping(self, *, authorized: bool) -> Answer:
        """The API's root, with any status; not authorized it tells what the server asks for."""
        url = f"{self.endpoint.url}/"
        if not authorized:
            return self._transport.send("GET", url, trust=self.endpoint.trust, headers=dict(self.endpoint.headers))
        self._scopes = frozenset()
        return self._ask("GET", url, "anybody", expected=(200,))

    def _url(self, rest: str, query: str = "") -> str:
        parts = [query] if query else []
        if self.endpoint.namespace:  # as containerd tells mirrors that are of several registries
            parts.append(urlencode({"ns": self.endpoint.namespace}))
        url = f"{self.endpoint.url}/{quote(self.path)}/{rest}"
        return f"{url}?{'&'.join(parts)}" if parts else url

    def _elsewhere(self, url: str) -> str:
        """An address that the server gave us. One behind a proxy may not know that it is spoken to with TLS."""
        ours, theirs = urlsplit(self.endpoint.url), urlsplit(url)
        if ours.scheme == "https" and theirs.scheme == "http":
            if theirs.hostname != ours.hostname:
                raise wrong(f"registry {ours.netloc} leads from https to http ({theirs.netloc[:200]})")
            return theirs._replace(scheme="https", netloc=ours.netloc).geturl()
        if theirs.scheme not in ("http", "https"):
            raise wrong(f"registry {ours.netloc} leads to an address that is none of the web")
        return url

    def _ask(
        self,
        method: str,
        url: str,
        what: str,
        headers: dict[str, str] | None = None,
        *,
        body: bytes | Iterable[bytes] | None = None,
        expected: tuple[int, ...] = (200,),
        more: Scopes = frozenset(),
        once: bool = False,
    ) -> Answer:
        """The answer, which has one of the `expected` statuses. Raises RegistryError."""
        own = (urlsplit(url).scheme, urlsplit(url).netloc) == (urlsplit(self.endpoint.url).scheme, self.endpoint.host)
        scopes = self._scopes | more
        tries = 0
        while True:
            tries += 1
            sent = self._authorizer.header(scopes) if own else ""
            all_headers = dict(self.endpoint.headers if own else ()) | (headers or {})
            if sent:
                all_headers["Authorization"] = sent
            answer = self._transport.send(
                method, url, trust=self.endpoint.trust, headers=all_headers, body=body, once=once
            )
            if answer.status in expected:
                return answer
            with answer:
                if answer.status == 401 and own and tries <= 2 and self._authorizer.meet(answer, scopes, sent):
                    if not isinstance(body, bytes | None):
                        raise RegistryError("the registry wants to know anew who we are", status=401, passing=True)
                    continue
                page = b"" if method == "HEAD" else answer.beginning(_ERROR_PAGE)
                raise refused(answer.status, page, what, self.endpoint.host, answer.header("Retry-After"))


def _range_start(header: str) -> int:
    """The first byte of `bytes 5-9/10`; -1 for anything else."""
    unit, _, rest = header.partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isascii() and first.isdigit() else -1


def _next_page(link: str) -> str:
    """The target of `<…>; rel="next"` (RFC 8288); empty where there is none."""
    target, bracket, rest = link.partition(">")
    return target.strip().removeprefix("<") if bracket and 'rel="next"' in rest.replace("'", '"') else ""


def _listed(body: bytes, host: str) -> list[str]:
    import json  # noqa: PLC0415  (lists of tags are seldom asked for)

    from sandbox.registry.names import is_tag  # noqa: PLC0415

    try:
        listed = json.loads(body).get("tags") or []
        if not all(isinstance(tag, str) and is_tag(tag) for tag in listed):
            raise InvalidError("not tags")
    except (ValueError, AttributeError, TypeError, RecursionError, InvalidError):
        raise wrong(f"registry {host} answers with something else than a list of tags") from None
    return list(listed)
