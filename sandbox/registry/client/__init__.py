"""The registry client: pull and push, to any registry of the OCI Distribution specification or docker's version 2."""
