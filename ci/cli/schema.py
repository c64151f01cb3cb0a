"""`ci-run schema [DIALECT]`: a JSON Schema of a pipeline file, for editors that complete and check as one types."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from ci.pipeline.schema import DIALECTS, schema

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

HELP = "print the JSON Schema of a pipeline file, for editors"


def configure(parser: ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("dialect", nargs="?", choices=tuple(DIALECTS), default="hako", help="whose files (hako)")


def run(arguments: Namespace) -> int:
    """Print it."""
    sys.stdout.write(json.dumps(schema(arguments.dialect), indent=2) + "\n")
    return 0
