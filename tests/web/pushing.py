"""A repository at a forge that pushes to the server under test: the real git, real signatures."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from ci.forge.signatures import sign
from ci.store import forgekeys, repositories
from ci.store.repositories import Repository
from tests.ci.origin import Origin

if TYPE_CHECKING:
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from web.services import Services

PIPELINE = """\
steps:
  - name: test
    image: busybox
    commands:
      - echo hello
"""


class Forge:
    """GitHub, with one repository that is built."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services = services
        self.origin = Origin(folder / "origin")
        with services.database.write() as connection:
            made = repositories.add(
                connection,
                Repository(
                    forge="github",
                    forge_url="https://github.example",
                    forge_id="77",
                    name="octo/pushed",
                    clone_url=self.origin.url,
                    default_branch="main",
                ),
            )
            self.secret = forgekeys.renew_hook_secret(connection, services.keyring, made.id)
            self.repository = repositories.get(connection, made.id)

    def payload(self, commit: str, **more: Any) -> dict[str, Any]:
        """What GitHub sends of a push."""
        return {
            "ref": "refs/heads/main",
            "before": "0" * 40,
            "after": commit,
            "repository": {"id": 77, "full_name": "octo/pushed", "clone_url": "https://elsewhere.example/x.git"},
            "sender": {"login": "octo", "id": 1},
        } | more

    def deliver(
        self,
        client: FlaskClient,
        payload: dict[str, Any],
        *,
        identifier: str = "",
        secret: str = "",
        event: str = "push",
    ) -> TestResponse:
        """A request with its signature."""
        body = json.dumps(payload).encode()
        headers = {
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": identifier or str(uuid.uuid4()),
            "X-Hub-Signature-256": sign(secret or self.secret, body),
            "Content-Type": "application/json",
        }
        return client.post(f"/hooks/{self.repository.id}", data=body, headers=headers)
