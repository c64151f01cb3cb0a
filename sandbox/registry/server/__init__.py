"""The registry server: a directory of images that docker, podman, skopeo, oras and our own client push to and pull.

A WSGI application (`application`) over a directory (`layout`). `sandbox registry serve` serves it alone (`serving`);
`web` mounts the same application with accounts of its own (`access.Accounts`). Source: OCI Distribution Specification
1.1, docker's token specification.
"""
