"""Filters of images, as `images`, `image prune`, `system prune` and the Remote API take them. Pure.

Several of one key are alternatives, except labels, which must all be there; keys are joined by "and". Source: docker's
manual, "images: Filtering" and "image prune: Filtering".
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from sandbox.errors import InvalidError
from sandbox.image.description import repository
from sandbox.records import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sandbox.image.image import Image

LISTING = ("dangling", "label", "label!", "reference", "before", "since", "until")
PRUNING = ("dangling", "label", "label!", "until")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TRUE, _FALSE = ("true", "1", "t"), ("false", "0", "f")


class Selection(NamedTuple):
    """What an image has to be; `until`, `before` and `since` are seconds since the epoch."""

    dangling: bool | None = None
    labels: tuple[str, ...] = ()
    without_labels: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    before: float | None = None
    since: float | None = None

    def fits(self, image: Image) -> bool:
        """Whether the image is meant."""
        if self.dangling is not None and self.dangling == bool(image.references):
            return False
        labelled = all(has_label(image, label) for label in self.labels)
        if not labelled or any(has_label(image, label) for label in self.without_labels):
            return False
        if self.references and not any(self.names(image)):
            return False
        if self.before is None and self.since is None:
            return True
        created = moment(image.created)
        if created is None:
            return False
        return (self.before is None or created < self.before) and (self.since is None or created > self.since)

    def names(self, image: Image) -> Iterable[str]:
        """The image's names that `reference` filters let through."""
        if not self.references:
            return image.references
        return tuple(name for name in image.references if any(_matches(name, form) for form in self.references))


def parse(
    filters: Iterable[str], *, known: tuple[str, ...], now: float, created: Callable[[str], str | None]
) -> Selection:
    """Read `key=value` texts. `created` gives the time of creation of an image by name, for `before` and `since`.

    Raises InvalidError that names the filter.
    """
    values: dict[str, list[str]] = {}
    for text in filters:
        key, equals, value = text.partition("=")
        if key.endswith("!"):  # docker's label!=x
            key = f"{key[:-1]}!"
        if key not in known or not equals:
            raise InvalidError(f"filter {text[:200]!r} is not known", hint=f"one of: {', '.join(known)}, as KEY=VALUE")
        values.setdefault(key, []).append(value)
    dangling = None
    if "dangling" in values:
        word = values["dangling"][-1].lower()
        if word not in _TRUE + _FALSE:
            raise InvalidError(f"filter dangling={word[:100]!r} is neither true nor false")
        dangling = word in _TRUE
    bounds = [point(text, now) for text in values.get("until", ())]
    bounds += [_created(name, created) for name in values.get("before", ())]
    after = [_created(name, created) for name in values.get("since", ())]
    return Selection(
        dangling,
        tuple(values.get("label", ())),
        tuple(values.get("label!", ())),
        tuple(values.get("reference", ())),
        min(bounds) if bounds else None,
        max(after) if after else None,
    )


def has_label(image: Image, label: str) -> bool:
    """`name` or `name=value`."""
    name, equals, value = label.partition("=")
    return name in image.config.labels and (not equals or image.config.labels[name] == value)


def moment(text: str) -> float | None:
    """Seconds since the epoch of an RFC 3339 text; `None` where it is none."""
    from datetime import datetime  # noqa: PLC0415  (few lists ask)

    # Go writes up to nine figures after the point, Python 3.11 reads six.
    head, point_, rest = text.partition(".")
    if point_:
        figures = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = f"{head}.{figures[:6].ljust(6, '0')}{rest[len(figures) :]}"
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def point(text: str, now: float) -> float:
    """A time: an age such as `24h` or `1h30m`, seconds since the epoch, or RFC 3339. Raises InvalidError."""
    if text and text.replace(".", "", 1).isdigit():
        return float(text)
    age, rest = 0.0, text
    while rest:
        figures = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        unit = rest[len(figures) : len(figures) + 1]
        if not figures.replace(".", "", 1).isdigit() or unit not in _UNITS:
            break
        age += float(figures) * _UNITS[unit]
        rest = rest[len(figures) + 1 :]
    if text and not rest:
        return now - age
    found = moment(text)
    if found is None:
        raise InvalidError(f"{text[:100]!r} is neither an age such as 24h nor a time such as 2026-01-31T12:00:00Z")
    return found


def _created(name: str, created: Callable[[str], str | None]) -> float:
    found = moment(created(name) or "")
    if found is None:
        raise InvalidError(f"it is not known when image {name!r} was created")
    return found


def _matches(name: str, form: str) -> bool:
    """Docker's rule: a pattern without a tag is for the repository."""
    return fnmatchcase(name, form) or fnmatchcase(repository(name), form)
