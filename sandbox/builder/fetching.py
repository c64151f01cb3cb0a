"""ADD of a URL, and contexts behind one: the file, in a folder of the build.

Only http and https, redirects included; what comes is bounded, and compared with `--checksum` before anybody uses it.
The file's time is the server's Last-Modified, its mode 0600. Source: docker's Dockerfile reference, "ADD".
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sandbox.errors import InvalidError, LimitError
from sandbox.image import digest as digests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.builder.downloads import Downloads, Kept

_SIZE_LIMIT = 64 << 30  # bytes
_TIMEOUT = 60.0  # seconds without a byte
_CHUNK = 1 << 18
_NOT_MODIFIED = 304
_HANDLERS = (
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
    urllib.request.HTTPDefaultErrorHandler,
)


def file_name(url: str) -> str:
    """The last part of the URL's path; empty where there is none."""
    name = posixpath.basename(unquote(urlsplit(url).path))
    return "" if name in (".", "..") or "\0" in name else name


def fetch(
    url: str, folder: Path, checksum: str = "", authorization: str = "", downloads: Downloads | None = None
) -> Path:
    """Load the file into the folder, under the URL's name. InvalidError says what went wrong, with the URL.

    `authorization` is the header of that name; a redirect does not take it along. What `downloads` has is not loaded
    again while the server says that it is the same.
    """
    expected = digests.parse(checksum) if checksum else None
    path = folder / (file_name(url) or "file")
    downloads = None if authorization else downloads
    kept = downloads.find(url) if downloads is not None else None
    etag = _load(url, path, authorization, kept)
    if downloads is not None and (kept is None or kept.etag != etag):
        downloads.keep(url, etag, path)
    if expected is not None:
        with path.open("rb") as file:
            found = digests.from_hex(hashlib.file_digest(file, "sha256").hexdigest())
        if found != expected:
            raise InvalidError(f"{url} has the digest {found}, not {expected}", reference="digest-mismatch")
    return path


def _load(url: str, path: Path, authorization: str, kept: Kept | None) -> str:
    """Write the file that the URL has, or is kept; its ETag."""
    opener = urllib.request.OpenerDirector()
    for handler in _HANDLERS:  # the default ones would follow a redirect to file: or ftp:
        opener.add_handler(handler())
    try:
        request = urllib.request.Request(url)  # noqa: S310  (the handlers know http and https alone)
        if authorization:
            request.add_unredirected_header("Authorization", authorization)
        if kept is not None:
            request.add_header("If-None-Match", kept.etag)
        with opener.open(request, timeout=_TIMEOUT) as answer, path.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            while piece := answer.read(_CHUNK):
                file.write(piece)
                if file.tell() > _SIZE_LIMIT:
                    raise LimitError(f"{url} has more than {_SIZE_LIMIT >> 30} GB")
            if answer.length:  # what Content-Length has promised, and did not come
                raise InvalidError(f"cannot fetch {url}: it ends {answer.length} bytes too early")
            moment = _moment(answer.headers)
    except urllib.error.HTTPError as error:
        if kept is not None and error.code == _NOT_MODIFIED:
            os.link(kept.path, path)
            return kept.etag
        raise InvalidError(f"cannot fetch {url}: {error.code} {str(error.reason).lower()}") from None
    except (OSError, ValueError, HTTPException) as error:  # URLError is an OSError
        reason = getattr(error, "reason", error)
        reason = getattr(reason, "strerror", None) or reason
        raise InvalidError(f"cannot fetch {url}: {str(reason).lower()}") from None
    os.utime(path, (moment, moment))
    return str(answer.headers.get("ETag", ""))


def _moment(headers: Mapping[str, str]) -> float:
    try:
        return max(0.0, parsedate_to_datetime(headers.get("Last-Modified", "")).timestamp())
    except (ValueError, TypeError):
        return time.time()
