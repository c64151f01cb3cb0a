"""Runs compiled Stages in the engine: the local runner of `ci-run local` and, later, the agent of each host."""
