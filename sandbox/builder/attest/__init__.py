"""Attestations: what an image was made of and how (`provenance`), and what is in it (`spdx`, of `packages`).

Statements of in-toto about one image, beside it in an index (`statements`), as BuildKit lays them out. Made on request.
"""
