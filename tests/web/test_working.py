"""The worker: from its start to its end."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import pytest

from web import working

if TYPE_CHECKING:
    from flask import Flask

    from web.services import Services

# What RQ says of a Redis that is away is no part of the tests' output.
logging.getLogger("rq.worker").addHandler(logging.NullHandler())


@pytest.mark.slow
@pytest.mark.parametrize("redis_is_there", [True, False])
def test_it_ends_when_it_is_told(app: Flask, services: Services, redis_is_there: bool) -> None:
    """Soon, also while it waits for a job, and while Redis is away."""
    stopped = threading.Event()
    thread = threading.Thread(target=working.work, args=(app, services), kwargs={"threads": 2, "stopped": stopped})
    thread.start()
    time.sleep(1)  # it is in the midst of waiting
    if not redis_is_there:
        assert services.valkey is not None
        services.valkey.stop()
        time.sleep(1)
    stopped.set()
    thread.join(60)
    assert not thread.is_alive()
