"""BuildKit's build checks: their names, and what they say.

The list and the texts are those of docker's documentation, "Build checks", so that `# check=skip=…` and people's search
engines work. `checks` finds violations; two rules are on trial and only run where `experimental` names them.
"""

from __future__ import annotations

from enum import StrEnum


class Rule(StrEnum):
    """A check by its published name."""

    STAGE_NAME_CASING = "StageNameCasing"
    FROM_AS_CASING = "FromAsCasing"
    NO_EMPTY_CONTINUATION = "NoEmptyContinuation"
    CONSISTENT_INSTRUCTION_CASING = "ConsistentInstructionCasing"
    DUPLICATE_STAGE_NAME = "DuplicateStageName"
    RESERVED_STAGE_NAME = "ReservedStageName"
    JSON_ARGS_RECOMMENDED = "JSONArgsRecommended"
    MAINTAINER_DEPRECATED = "MaintainerDeprecated"
    UNDEFINED_ARG_IN_FROM = "UndefinedArgInFrom"
    WORKDIR_RELATIVE_PATH = "WorkdirRelativePath"
    UNDEFINED_VAR = "UndefinedVar"
    MULTIPLE_INSTRUCTIONS_DISALLOWED = "MultipleInstructionsDisallowed"
    LEGACY_KEY_VALUE_FORMAT = "LegacyKeyValueFormat"
    REDUNDANT_TARGET_PLATFORM = "RedundantTargetPlatform"
    SECRETS_USED_IN_ARG_OR_ENV = "SecretsUsedInArgOrEnv"
    INVALID_DEFAULT_ARG_IN_FROM = "InvalidDefaultArgInFrom"
    FROM_PLATFORM_FLAG_CONST_DISALLOWED = "FromPlatformFlagConstDisallowed"
    INVALID_BASE_IMAGE_PLATFORM = "InvalidBaseImagePlatform"
    COPY_IGNORED_FILE = "CopyIgnoredFile"
    INVALID_DEFINITION_DESCRIPTION = "InvalidDefinitionDescription"
    EXPOSE_PROTO_CASING = "ExposeProtoCasing"
    EXPOSE_INVALID_FORMAT = "ExposeInvalidFormat"


EXPERIMENTAL = frozenset((Rule.COPY_IGNORED_FILE, Rule.INVALID_DEFINITION_DESCRIPTION))
RESERVED_STAGES = ("context", "scratch")
