"""The `ci-run` command: one module a verb, put together by `main`."""
