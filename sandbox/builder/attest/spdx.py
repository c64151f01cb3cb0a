"""An SPDX document of an image's packages. Pure. Source: SPDX 2.3, its JSON schema."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sandbox.builder.attest.packages import locator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox.builder.attest.package import Package
    from sandbox.builder.attest.packages import System

PREDICATE = "https://spdx.dev/Document"
_NOTHING = "NOASSERTION"
_DOCUMENT = "SPDXRef-DOCUMENT"


def document(name: str, digest: str, created: str, packages: Iterable[Package], of: System) -> dict[str, Any]:
    """The document about the image with a manifest's digest; `created` is RFC 3339 in whole seconds."""
    image = {
        "SPDXID": "SPDXRef-Image",
        "name": name,
        "versionInfo": digest,
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "CONTAINER",
    }
    listed = [_package(package, of) for package in packages]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": name,
        "documentNamespace": f"urn:hako:spdx:{digest}",
        "creationInfo": {"created": created, "creators": ["Tool: hako"]},
        "packages": [image, *listed],
        "relationships": [
            _relation(_DOCUMENT, "DESCRIBES", image["SPDXID"]),
            *(_relation(image["SPDXID"], "CONTAINS", package["SPDXID"]) for package in listed),
        ],
    }


def _package(package: Package, of: System) -> dict[str, Any]:
    url = locator(package, of)
    found: dict[str, Any] = {
        "SPDXID": f"SPDXRef-Package-{hashlib.sha256(url.encode()).hexdigest()[:16]}",
        "name": package.name,
        "versionInfo": f"{package.epoch}:{package.version}" if package.epoch else package.version,
        "supplier": f"Organization: {package.supplier}" if package.supplier else _NOTHING,
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": _NOTHING,
        "licenseDeclared": _NOTHING,
        "copyrightText": _NOTHING,
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url},
        ],
    }
    if package.license:  # as it stands there: hardly ever an expression of SPDX
        found["licenseComments"] = package.license
    return found


def _relation(one: object, kind: str, other: object) -> dict[str, object]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
