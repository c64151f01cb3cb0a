"""The server on a port, and a real browser (Debian's Chromium) that looks at it. Pictures are in build/screenshots."""

from __future__ import annotations

import logging
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect, sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from playwright.sync_api import Browser, Page

PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
# Everything is waited for by conditions; this is only for what will never come.
PATIENCE = 60_000  # milliseconds


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """The application's address, on a port that the kernel chooses."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=WSGIRequestHandler)
    server.daemon_threads = True  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Chromium (package chromium)")
    # Its own sandbox is refused to root, and in many containers to others, too; what it looks at here is ours.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield found
        finally:
            found.close()


def watched(page: Page) -> list[str]:
    """What the page complains of from now on: errors of scripts, and what its policy (CSP) or the network refuses."""
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    return complaints


def picture(page: Page, name: str) -> None:
    """Keep what it looks like."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png")
