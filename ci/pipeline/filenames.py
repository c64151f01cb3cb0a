"""The names under which a project has its pipeline: a file of any dialect, ours first, or a folder of Woodpecker's."""

from __future__ import annotations

DEFAULT_FILE = ".ci.yml"
FOLDER = ".woodpecker"
NAMES = (DEFAULT_FILE, FOLDER, ".woodpecker.yaml", ".woodpecker.yml", ".drone.yml", ".drone.yaml")
ENDINGS = (".yml", ".yaml")  # of the files of a folder
