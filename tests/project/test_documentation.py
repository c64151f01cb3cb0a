"""What the manual says is so: links lead somewhere, blocks of code parse, commands and their options exist."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.project import markdown

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md")
    for path in REPOSITORY.glob(pattern)
    if "node_modules" not in path.parts
)
COMMANDS = {"sandbox": "sandbox.cli.main", "ci-run": "ci.cli.main"}
LANGUAGES = {"console", "sh", "yaml", "python", "toml", "json", "text", "c", "make", "ini"}
page_parameter = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))


@page_parameter
def test_links_lead_somewhere(path: Path) -> None:
    """Each relative link names a file of the tree, and each `#…` a heading of that page."""
    broken = []
    page = markdown.read(path)
    for link in page.links:
        if re.match(r"[a-z]+:", link.target):
            continue
        name, _, anchor = link.target.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or not target.is_relative_to(REPOSITORY):
            broken.append(f"line {link.line}: {link.target} is not there")
        elif anchor and target.suffix == ".md" and anchor not in markdown.read(target).anchors:
            broken.append(f"line {link.line}: {link.target} names no heading")
    assert not broken


def test_every_page_is_reachable_from_the_readme() -> None:
    """A reader who starts at README.md finds every page by links."""
    seen: set[Path] = set()
    queue = [REPOSITORY / "README.md"]
    while queue:
        path = queue.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        if path.suffix == ".md":
            names = (link.target.partition("#")[0] for link in markdown.read(path).links)
            queue += [(path.parent / name).resolve() for name in names if name and ":" not in name]
    lost = [str(path.relative_to(REPOSITORY)) for path in PAGES if path not in seen]
    assert not lost, f"no link leads to {lost}"


@page_parameter
def test_blocks_parse(path: Path) -> None:
    """Every block of code names its language and is valid in it."""
    wrong = []
    for block in markdown.read(path).blocks:
        where = f"line {block.line}"
        if block.language not in LANGUAGES:
            wrong.append(f"{where}: unknown language {block.language!r}; one of {sorted(LANGUAGES)}")
            continue
        try:
            match block.language:
                case "python":
                    ast.parse(block.text)
                case "toml":
                    tomllib.loads(block.text)
                case "json":
                    json.loads(block.text)
                case "yaml":
                    list(yaml.safe_load_all(block.text))
                case "sh":
                    subprocess.run(["/bin/sh", "-n"], input=block.text, text=True, check=True, capture_output=True)
        except (SyntaxError, ValueError, yaml.YAMLError, subprocess.CalledProcessError) as error:
            wrong.append(f"{where}: {error}")
    assert not wrong


@page_parameter
def test_pipelines_are_valid(path: Path, tmp_path: Path) -> None:
    """Every whole pipeline shown in the manual passes `ci-run lint`, with the templates that the page has for it."""
    wrong = []
    templates = dict(
        re.findall(r"^The template `(.*?)`:\n\n```yaml\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
    )
    for name, text in templates.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for number, block in enumerate(markdown.read(path).blocks):
        if block.language != "yaml" or not re.search(r"^steps:", block.text, re.MULTILINE):
            continue
        if block.text in templates.values():
            continue
        file = tmp_path / f"{number}.yml"
        file.write_text(block.text)
        code, output = _run("ci-run", "lint", str(file))
        if code:
            wrong.append(f"line {block.line}: {output}")
    assert not wrong


@page_parameter
def test_commands_exist(path: Path) -> None:
    """Every `sandbox`, `ci-run` and `make` of a console or sh block has its verb, and the verb has the options."""
    wrong = []
    for block in markdown.read(path).blocks:
        if block.language not in {"console", "sh"}:
            continue
        for offset, line in enumerate(block.text.splitlines()):
            prompt = re.match(r"[$#] ", line)
            if block.language == "console" and not prompt:
                continue
            for command in _commands(line[2:] if prompt else line):
                problem = _problem(command)
                if problem:
                    wrong.append(f"line {block.line + offset}: {problem}")
    assert not wrong


def _commands(line: str) -> list[list[str]]:
    """The simple commands of a line of shell: split at `;`, `&&`, `||` and `|`, comments dropped."""
    lexer = shlex.shlex(line.rstrip("\\"), posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    try:
        for token in lexer:
            if set(token) <= set(";&|"):
                commands.append([])
            else:
                commands[-1].append(token)
    except ValueError:  # a quotation that goes on in the next line
        pass
    return [command for command in commands if command]


def _problem(words: list[str]) -> str:
    """Say what is wrong with a command, or nothing."""
    while words and (words[0] in {"sudo", "time", "exec"} or re.match(r"[A-Z_]+=", words[0])):
        words = words[1:]
    name = Path(words[0]).name if words else ""
    if name == "make":
        targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        unknown = [word for word in words[1:] if "=" not in word and not word.startswith("-") and word not in targets]
        return f"the Makefile has no {unknown}" if unknown else ""
    if name not in COMMANDS or len(words) < 2:
        return ""
    if words[1].startswith("-"):
        return "" if _run(name, words[1])[0] == 0 else f"{name} has no option {words[1]}"
    verb = words[1:2]
    code, text = _run(name, *verb, "--help")
    if code and len(words) > 2:  # a verb of two words, such as `network ls`
        verb = words[1:3]
        code, text = _run(name, *verb, "--help")
    if code:
        return f"{name} has no verb {words[1]}"
    if name == "ci-run" and len(words) > 2 and f"{words[2]} " in text.partition("ACTION")[2]:
        verb = words[1:3]  # one of the verb's own verbs
        text = _run(name, *verb, "--help")[1]
    return next(
        (f"{name} {' '.join(verb)} has no option {word}" for word in _options(words[2:]) if word not in text), ""
    )


def _options(words: list[str]) -> list[str]:
    """The long options before a container's image: what follows that is the container's own command."""
    image = next((at for at, word in enumerate(words) if re.match(r"busybox|debian|hako/|--$", word)), len(words))
    return [word.partition("=")[0] for word in words[:image] if word.startswith("--")]


@cache
def _run(name: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", COMMANDS[name], *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    return done.returncode, done.stdout + done.stderr
