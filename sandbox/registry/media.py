"""Media types that registries speak of, beyond those of `image.manifest`; which of them are manifests, indexes, layers.

Source: OCI image-spec media-types.md, OCI distribution-spec 1.1, docker's image/spec and distribution's schema 2.
"""

from __future__ import annotations

from sandbox.image.manifest import CONFIG, DOCKER_MANIFEST, INDEXES, LAYER, LAYERS, MANIFEST

INDEX, DOCKER_INDEX = INDEXES
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
LAYER_GZIP = f"{LAYER}+gzip"
LAYER_ZSTD = f"{LAYER}+zstd"
EMPTY = "application/vnd.oci.empty.v1+json"  # two bytes, `{}`: the configuration of an artifact
# What docker wrote before 1.10, signed in itself; no registry has to take it any more.
SCHEMA_1 = frozenset(
    (
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    )
)
# Layers that lie elsewhere, at an address that the manifest gives.
FOREIGN = frozenset(
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    )
)
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)  # of one image
DOCUMENTS = (*MANIFESTS, *INDEXES)  # what lies below /manifests/
CONFIGS = frozenset((CONFIG, DOCKER_CONFIG))
OCTETS = "application/octet-stream"  # a blob

__all__ = (
    "CONFIG",
    "CONFIGS",
    "DOCKER_CONFIG",
    "DOCKER_INDEX",
    "DOCKER_LAYER_GZIP",
    "DOCKER_MANIFEST",
    "DOCUMENTS",
    "EMPTY",
    "FOREIGN",
    "INDEX",
    "INDEXES",
    "LAYER",
    "LAYERS",
    "LAYER_GZIP",
    "LAYER_ZSTD",
    "MANIFEST",
    "MANIFESTS",
    "OCTETS",
    "SCHEMA_1",
)
