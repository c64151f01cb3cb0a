"""The language of Dockerfiles: text to typed instructions with positions.

Pure: no files, no system calls, nothing of the engine but its errors. `parsing.parse` is the door; the builder,
`sandbox build --check` and whoever wants to know what a Dockerfile says use it. The specification is docker's
Dockerfile reference, and where that is silent what BuildKit's stable frontend does.
"""
