"""Whose files are: `--chown` of COPY and ADD, and USER for the folders that WORKDIR makes.

A name alone has the group that the image's /etc/passwd gives it, a number alone the group of that number, as with
BuildKit and buildah; docker's reference tells the latter of names, too. Source: BuildKit, solver/llbsolver/ops.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.builder.transfer import Owner
from sandbox.errors import NotFoundError
from sandbox.runtime import users

if TYPE_CHECKING:
    from sandbox.builder.files import FileView


def owner_of(text: str, image: FileView) -> Owner:
    """The owner that `USER[:GROUP]` names in an image. Raises NotFoundError for a name that it does not have."""
    user, _, group = text.partition(":")
    found = users.resolve(text if group else user, image.read(b"etc/passwd"), image.read(b"etc/group"))
    return Owner(found.uid, found.uid if not group and user.isdecimal() else found.gid)


def owner_of_folders(user: str, image: FileView) -> Owner:
    """Who the folders of a WORKDIR belong to; root where the image does not have the user yet."""
    if not user:
        return Owner()
    try:
        return owner_of(user, image)
    except NotFoundError:
        return Owner()
