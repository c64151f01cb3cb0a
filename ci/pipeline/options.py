"""Nodes → what a step asks of its container, beyond the parts that are in `parts`: plugins' settings, hosts, devices.

A dialect's front end is an `Options`. What is common to steps and services of all dialects is read by `container`; a
front end adds what it writes in another way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci.pipeline.document import DeviceUse, SecretUse, Setting
from ci.pipeline.nodes import Mapping
from ci.pipeline.parts import Parts
from ci.pipeline.settings import inner_secrets, is_nothing, is_secret
from ci.pipeline.source import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from ci.pipeline.reading import Keys

# The keys that `container` reads.
OPTION_KEYS = ("detach", "network_mode", "extra_hosts", "dns", "dns_search", "tmpfs", "devices", "shm_size", "settings")


class Options(Parts):
    """Reads the options of steps and services."""

    def options(self, keys: Keys, variable: Callable[[str], str]) -> dict[str, Any]:
        """The fields of a Step that OPTION_KEYS give, settings' secrets as `setting_secrets` aside."""
        return {
            "detach": self.switch(keys, "detach"),
            "network_mode": self.text(keys, "network_mode"),
            "extra_hosts": self.texts(keys, "extra_hosts"),
            "dns": self.texts(keys, "dns"),
            "dns_search": self.texts(keys, "dns_search"),
            "tmpfs": self.texts(keys, "tmpfs"),
            "devices": self.devices(keys, "devices"),
            "shm_size": self.text(keys, "shm_size"),
            "settings": self.settings(keys, "settings", variable),
        }

    def settings(self, keys: Keys, key: str, variable: Callable[[str], str]) -> tuple[Setting, ...]:
        """A map of names to values of any shape, those from secrets left out. `variable` names the variable."""
        node = self.get(keys, key)
        if node is None:
            return ()
        if not isinstance(node, Mapping):
            self.wrong(node, f'"{key}"', "a map of names to values")
            return ()
        found: list[Setting] = []
        for name, value in node.entries:
            if is_secret(value) or (is_nothing(value)):
                continue
            for secret in inner_secrets(value):
                if self.rules.inner_secrets:
                    self.from_secret(secret, name.value)
                else:
                    message = f'inside of "{name.value}" drone takes this for a map, and gives no secret'
                    hint = "make the whole value a secret, or give the secret a setting of its own"
                    self.report.warning("inner-secret", secret.position, message, hint)
            found.append(Setting(variable=Text(variable(name.value), name.position), value=value))
        return tuple(found)

    def setting_secrets(self, keys: Keys, key: str, variable: Callable[[str], str]) -> tuple[SecretUse, ...]:
        """The settings that are `{from_secret: name}`."""
        node = self.get(keys, key)
        if not isinstance(node, Mapping):
            return ()
        found: list[SecretUse] = []
        for name, value in node.entries:
            if is_secret(value) and (secret := self.from_secret(value, name.value)):
                found.append(SecretUse(variable=Text(variable(name.value), name.position), secret=secret))
        return tuple(found)

    def devices(self, keys: Keys, key: str) -> tuple[DeviceUse, ...]:
        """A list of `/dev/host[:/dev/container]`; rights after a second colon mean nothing: a device has all."""
        found: list[DeviceUse] = []
        for text in self.texts(keys, key):
            source, colon, rest = text.value.partition(":")
            target = rest.partition(":")[0]
            first = text.part(0, len(source))
            second = text.part(len(source) + 1, len(source) + 1 + len(target)) if colon and target else first
            found.append(DeviceUse(source=first, target=second))
        return tuple(found)


def plugin_variable(name: str) -> str:
    """The variable of a setting, as Woodpecker names it: in upper case, `-` and `.` as `_`."""
    return "PLUGIN_" + name.upper().replace("-", "_").replace(".", "_")
