"""The document itself, its steps and its services, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ci.pipeline import values
from ci.pipeline.cloning import ALL_SETTINGS
from ci.pipeline.lint import additions
from ci.pipeline.settings import scalars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ci.pipeline.diagnostics import Report
    from ci.pipeline.document import Document, Mount, SecretUse, Step, Variable
    from ci.pipeline.lint.values import Values
    from ci.pipeline.source import Text

_TRUST = "a server wants a trusted repository for this, a local run --trusted"
_IMAGE_HINT = 'write "image:", here or at the top for all steps'


def check_document(document: Document, check: Values) -> None:
    """Check all values of a document."""
    rules = check.rules
    name = values.free_name if rules.lenient else values.step_name
    if document.name:
        check.plain(document.name, name)
    check.check(document.image, values.image)
    check.check(document.timeout, values.duration)
    workspace = check.check(document.workspace, values.directory)
    if document.workspace is None:
        workspace = document.rules.base
    check.check(document.workspace_path, values.relative)
    check.check(document.concurrency, values.count)
    for one in document.clone.settings:
        check.check(one.value, ALL_SETTINGS[one.name.value])
    check.check(document.clone.disable, values.flag)
    _check_environment(document.environment, document.secrets, check)
    _check_reserved(document.environment, check)
    declared = _check_volumes(document.volumes, check)
    for label in document.labels:
        check.plain(label.name, str if rules.lenient else values.label)
        check.check(label.value, str if rules.lenient else values.label)
    for step in document.steps:
        if step.name.value:
            check.plain(step.name, name)
        if step.image is None and document.image is None and step.build is None:
            _missing_image(step, "the step", _IMAGE_HINT, check.report)
        _check_container(step, declared, workspace, check)
    _check_cloning(document.clone.steps, declared, workspace, check)
    for service in document.services:
        if service.name.value:
            check.plain(service.name, values.free_name if rules.lenient else values.service_name)
        if service.image is None:
            _missing_image(service, "the service", 'write "image:"; the one at the top is for steps only', check.report)
        _check_container(service, declared, workspace, check)


def _check_cloning(steps: Sequence[Step], declared: Sequence[str], workspace: str | None, check: Values) -> None:
    """The steps that clone."""
    for step in steps:
        if step.name.value:
            check.plain(step.name, values.free_name if check.rules.lenient else values.step_name)
        if step.image is None:
            _missing_image(step, "the clone step", "the one at the top is for the other steps", check.report)
        _check_container(step, declared, workspace, check)


def _check_reserved(environment: Sequence[Variable], check: Values) -> None:
    for variable in environment:
        if variable.name.value in check.rules.variables:
            message = f'"{variable.name.value}" is set by the system, and this value is not seen'
            check.report.warning("reserved-variable", variable.name.position, message, "a step may set it for itself")


def _check_volumes(volumes: Sequence[Text], check: Values) -> tuple[str, ...]:
    """The names of the document's volumes."""
    names: dict[str, None] = {}
    for text in volumes:
        if check.plain(text, values.step_name) and text.value in names:
            check.report.error("duplicate-name", text.position, f'the volume "{text.value}" is here twice')
        names[text.value] = None
    return tuple(names)


def _missing_image(step: Step, what: str, hint: str, report: Report) -> None:
    name = f' "{step.name.value}"' if step.name.value else ""
    report.error("missing-image", step.position, f"{what}{name} has no image", hint)


def _check_container(step: Step, volumes: Sequence[str], workspace: str | None, check: Values) -> None:
    report = check.report
    check.check(step.image, values.image)
    check.check(step.shell, values.shell)
    check.check(step.timeout, values.duration)
    check.check(step.retries, values.retries)
    for text in step.artifacts:
        check.check(text, values.artifact)
    check.check(step.user, values.user)
    check.check(step.detach, values.flag)
    check.check(step.privileged, values.flag)
    check.check(step.failure, values.on_failure)
    check.check(step.pull, values.pull)
    check.check(step.memory, values.memory)
    check.check(step.cpus, values.cpus)
    check.check(step.working_dir, values.relative)
    for text in step.entrypoint:
        check.check(text)
    for text in step.ports:
        check.check(text, values.port)
    for text in step.commands:
        if not text.value.strip() and not check.rules.lenient:
            report.error("empty-commands", text.position, "the command is empty", "remove it")
        if check.rules.whole_file:
            check.check(text)
    _check_options(step, check)
    additions.check_container(step, check)
    _check_entrypoint(step, check)
    _check_trust(step, report)
    _check_environment(step.environment, step.secrets, check)
    targets: set[str] = set()
    for mount in step.volumes:
        _check_mount(mount, volumes, check)
        target = check.check(mount.target, lambda text: values.directory(text, "bad-volume"))
        if target is None:
            continue
        target = values.relative(target)
        if target in targets:
            report.error("bad-volume", mount.target.position, f'something is put at "{target}" already')
        if target == workspace:
            message = f'a volume at "{target}" hides the project\'s files'
            report.warning("hides-workspace", mount.target.position, message, "put it at a directory below")
        targets.add(target)


def _check_entrypoint(step: Step, check: Values) -> None:
    if not step.commands or not step.entrypoint:
        return
    position = step.entrypoint[0].position
    if check.rules.lenient:
        message = "the entrypoint is passed over: the commands are run by a shell"
        check.report.warning("not-honoured", position, message)
        return
    hint = "commands are run by the step's \"shell\"; an entrypoint runs instead of the image's own"
    check.report.error("entrypoint-and-commands", position, "a step has either commands or an entrypoint", hint)


def _check_trust(step: Step, report: Report) -> None:
    """What reaches out of the container, the host's directories aside."""
    name = step.name.value
    if step.privileged:
        report.info("needs-trust", step.privileged.position, f'"{name}" is privileged', _TRUST)
    if step.network_mode and step.network_mode.value == "host":
        report.info("needs-trust", step.network_mode.position, f'"{name}" is in the network of the host', _TRUST)
    for device in step.devices:
        report.info("needs-trust", device.source.position, f'"{device.source.value}" is a device of the host', _TRUST)


def _check_options(step: Step, check: Values) -> None:
    """What a step asks of its container."""
    check.check(step.network_mode, values.network_mode)
    check.check(step.shm_size, values.size)
    check.check(step.memory_swap, values.size)
    for text in step.extra_hosts:
        check.check(text, values.extra_host)
    for text in step.dns:
        check.check(text, values.address)
    for text in step.tmpfs:
        check.check(text, values.tmpfs)
    for setting in step.settings:
        for scalar in scalars(setting.value):
            check.check(scalar.text)
    for device in step.devices:
        check.check(device.source, values.device)
        check.check(device.target, values.device)


def _check_mount(mount: Mount, volumes: Sequence[str], check: Values) -> None:
    if mount.host is not None:
        check.check(mount.host, values.host_path)
        check.report.info(
            "needs-trust", mount.host.position, f'"{mount.host.value}" is a directory of the host', _TRUST
        )
    elif mount.name is not None and mount.name.value not in volumes:
        name = mount.name.value
        hint = check.report.suggester.did_you_mean(name, volumes) or f'name it at the top: "volumes: [{name}]"'
        check.report.error("unknown-volume", mount.name.position, f'there is no volume "{name}"', hint)


def _check_environment(environment: Sequence[Variable], secrets: Sequence[SecretUse], check: Values) -> None:
    seen: set[str] = set()
    name = values.any_variable if check.rules.lenient else values.variable
    for variable in environment:
        check.plain(variable.name, name)
        check.check(variable.value)
        _check_once(variable.name, seen, check.report)
    for use in secrets:
        if not check.plain(use.secret, values.secret):
            continue
        check.plain(use.variable, name)
        _check_once(use.variable, seen, check.report)


def _check_once(name: Text, seen: set[str], report: Report) -> None:
    if name.value in seen:
        report.error("duplicate-variable", name.position, f'the variable "{name.value}" is set twice', "remove one")
    seen.add(name.value)
