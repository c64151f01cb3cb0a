"""Dockerfiles to images: instructions → stages that are needed → cache keys → layers → image.

`solver.build` is the door; `sandbox build` and the runners use it. `scope`, `graph`, `settings` and `keys` are pure.
"""
