"""Logs for people and programs: lines, a search, the bytes, and what comes while they look; and the page of all that.

The page has the address of a step, `/<repository>/<build>/<stage>/<step>`, and the parts lie below it after `/-/`.
"""

from web.logs import live, page, parts
from web.logs.choosing import blueprint

__all__ = ["blueprint", "live", "page", "parts"]
