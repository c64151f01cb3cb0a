"""The REST API for people's programs and `ci-run`: `/api/v1`, described by a document that is made of the code."""
