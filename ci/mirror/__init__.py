"""Mirrors: a bare copy of each repository, brought up to date by git and read by libgit2 without any checkout."""
