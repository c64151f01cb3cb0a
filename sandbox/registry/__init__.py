"""Registries: `client` pulls and pushes images, `server` keeps them; what both know of the OCI Distribution
specification 1.1 is here.

Above `image`, whose store, references and manifests it uses; beside `runtime`, which knows nothing of it.
"""
