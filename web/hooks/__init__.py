"""Webhooks: what forges and plain git servers tell. They are checked and noted; the work happens after the answer."""

from web.hooks.receiving import blueprint

__all__ = ["blueprint"]
