"""The log's page in a real browser: what a person sees and does there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.web import browser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from playwright.sync_api import Browser, Page

    from tests.web.logs.conftest import Written
    from web.services import Services

pytestmark = pytest.mark.slow
MANY = 1_000_000


@pytest.fixture
def address(app: Flask, written: Written) -> Iterator[str]:
    """Of the log's page."""
    with browser.served(app) as url:
        yield url + written.address


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One for all tests here."""
    with browser.browser() as found:
        yield found


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A window; that nothing has gone wrong in it is a part of every test."""
    found = chromium.new_page(viewport={"width": 1200, "height": 800})
    complaints = browser.watched(found)
    yield found
    found.close()
    assert complaints == []


def write(services: Services, written: Written, *parts: bytes, end: bool = True) -> int:
    """A log of these parts, which come ten seconds apart."""
    offset = 0
    for number, part in enumerate(parts):
        offset = services.logs.append(written.key, offset, part, time=1000.0 + 10 * number)
    if end:
        services.logs.append(written.key, offset, b"", time=1000.0 + 10 * len(parts), end=True)
        services.logs.finish(written.key)
    services.notices.announce(written.key)
    return offset


def row(page: Page, number: int) -> str:
    """The text of a line, when it is there."""
    text = page.locator(f'.log-row[data-line="{number}"] .log-text:not(:text-is("…"))')
    text.wait_for()
    return text.inner_text()


def test_a_million_lines(page: Page, address: str, services: Services, written: Written) -> None:
    """Few elements at any time; the end, a line by its address, and what is searched for are there at once."""
    write(
        services,
        written,
        *(b"".join(b"line %d\n" % n for n in range(k, k + 10_000)) for k in range(1, MANY + 1, 10_000)),
    )
    page.goto(address)
    assert row(page, 1) == "line 1"
    page.locator(".log-view").focus()
    page.keyboard.press("End")
    assert row(page, MANY) == f"line {MANY}"
    assert page.locator(".log-row").count() < 100
    page.keyboard.press("Home")
    page.mouse.move(600, 400)
    page.mouse.wheel(0, 200)
    page.wait_for_selector('.log-row[data-line="11"]:first-child')
    page.goto("about:blank")
    page.goto(f"{address}#L500000-L500002")
    assert row(page, 500_000) == "line 500000"
    assert page.locator(".log-row.chosen").count() == 3
    page.keyboard.press("/")
    page.keyboard.type("LINE 77777")
    expect(page.locator("#log-found")).to_have_text("2 of 11")  # from where one looks
    assert row(page, 777_770) == "line 777770"
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector('.log-row.here[data-line="77777"] mark')
    page.keyboard.press("Enter")
    expect(page.locator("#log-found")).to_have_text("2 of 11")
    browser.picture(page, "log-search")


def test_what_terminals_understand_is_shown_and_nothing_is_html(
    page: Page, address: str, services: Services, written: Written
) -> None:
    """Colours, progress bars, long lines; markup, links and bytes that are no text stay text."""
    hostile = (
        b"<img src=x onerror=document.title='got'> \x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 \xff\x9b31m \x00\n"
    )
    colours = b"\x1b[1;31mred\x1b[0m \x1b[38;5;208morange\x1b[m \x1b[48;2;1;2;3mback\x1b[49m\n"
    write(
        services,
        written,
        colours + b" 10%\r 50%\r100%\r\n" + hostile + b"x" * 100_000 + b"end\n" + b"\x1b[32mgreen\nstill\n",
    )
    page.goto(address)
    assert row(page, 1) == "red orange back"
    red = page.locator('.log-row[data-line="1"] .log-text span').first
    assert red.get_attribute("class") == "bold f1"
    assert (
        page.locator('[data-line="1"] .log-text span', has_text="orange").evaluate("e => e.style.color")
        == "rgb(255, 135, 0)"
    )
    assert row(page, 2) == "100%"
    assert row(page, 3).startswith("<img src=x onerror=document.title='got'> link \ufffd")
    assert page.locator(".log-text img, .log-text a").count() == 0
    assert row(page, 4).endswith("xxx [83,619 bytes are left out: see raw] " + "x" * 4093 + "end")
    assert page.locator('[data-line="6"] .log-text span').get_attribute("class") == "f2"
    assert "got" not in page.title()
    browser.picture(page, "log-colours")


def test_commands_fold(page: Page, address: str, services: Services, written: Written) -> None:
    """Each with how long it took; a line that is gone to opens its own."""
    output = b"".join(b"output %d\n" % n for n in range(50_000))
    write(services, written, b"+ echo first\nfirst\n", b"+ make\n+ make install\n" + output, b"+ echo last\nlast\n")
    page.goto(address)
    page.wait_for_selector(".log-row.command")
    page.click("#log-fold")
    expect(page.locator(".log-row")).to_have_count(3)
    expect(page.locator(".log-took")).to_have_text(["10.0 s", "10.0 s", "0.0 s"])
    page.click('.log-row[data-line="1"] .log-fold')
    assert row(page, 2) == "first"
    page.fill("#log-text", "output 33333")
    page.wait_for_selector('.log-row.here[data-line="33338"]')
    page.click("#log-times")
    page.wait_for_selector(".log-time")
    browser.picture(page, "log-commands")


def test_what_comes_is_seen_until_somebody_scrolls_up(
    page: Page, address: str, services: Services, written: Written
) -> None:
    """And again when he comes back to the end; with the step's end, following ends."""
    offset = write(services, written, b"".join(b"line %d\n" % n for n in range(1, 201)), end=False)
    page.goto(address)
    assert row(page, 200) == "line 200"
    offset = services.logs.append(written.key, offset, b"line 201\nhalf", time=2000)
    services.notices.announce(written.key)
    assert row(page, 202) == "half"
    page.mouse.move(600, 400)
    page.mouse.wheel(0, -1000)
    page.wait_for_selector('#log-follow[aria-pressed="false"]')
    first = page.locator(".log-row").first.get_attribute("data-line")
    offset = services.logs.append(written.key, offset, b" and whole\nline 203\n", time=2001)
    services.notices.announce(written.key)
    expect(page.locator(".log-space")).to_have_css("height", f"{203 * 20}px")
    assert page.locator(".log-row").first.get_attribute("data-line") == first
    page.click("#log-follow")
    assert row(page, 202) == "half and whole"
    services.logs.append(written.key, offset, b"last\n", time=2002, end=True)
    services.notices.announce(written.key)
    assert row(page, 204) == "last"
    page.wait_for_selector("#log-follow", state="hidden")


def test_a_line_is_chosen_by_its_number(page: Page, address: str, services: Services, written: Written) -> None:
    """And a range with Shift; the address says which."""
    write(services, written, b"".join(b"line %d\n" % n for n in range(1, 201)))
    page.goto(address)
    row(page, 3)
    page.click('[data-line="3"] .log-number')
    page.click('[data-line="7"] .log-number', modifiers=["Shift"])
    assert page.url.endswith("#L3-L7")
    expect(page.locator(".log-row.chosen")).to_have_count(5)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_on_a_phone(chromium: Browser, address: str, services: Services, written: Written, theme: str) -> None:
    """The page is no wider than the screen, in both themes."""
    write(services, written, b"+ echo first\n" + b"wide " * 100 + b"\n\x1b[32mok\x1b[0m\n" * 50)
    page = chromium.new_page(
        viewport={"width": 390, "height": 800}, color_scheme="dark" if theme == "dark" else "light"
    )
    complaints = browser.watched(page)
    page.goto(address)
    row(page, 2)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    browser.picture(page, f"log-phone-{theme}")
    page.close()
    assert complaints == []


def test_without_javascript(chromium: Browser, address: str, services: Services, written: Written) -> None:
    """Lines by their numbers, which links lead to."""
    write(services, written, b"".join(b"line %d\n" % n for n in range(1, 5001)))
    page = chromium.new_context(java_script_enabled=False).new_page()
    page.goto(f"{address}#L4990")
    assert page.locator("#L4990").inner_text() == "line 4990"
    assert not page.locator("#log-text").is_visible()
    page.context.close()
