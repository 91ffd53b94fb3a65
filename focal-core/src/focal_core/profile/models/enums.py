"""The closed sets of words a profile is described with."""

from __future__ import annotations

from collections.abc import Mapping

from focal_core.base import TolerantEnum


class ItemStatus(TolerantEnum):
    """What a field or asset still counts for; where several apply, superseded > orphaned > expired > active."""

    ACTIVE = "active"
    SUPERSEDED = "superseded"
    """A newer version took its place."""
    EXPIRED = "expired"
    """Its time is over."""
    ORPHANED = "orphaned"
    """What it was derived from is gone."""


class SourceType(TolerantEnum):
    """What an item was derived from."""

    PROFILE_FIELD = "profile_field"
    PROFILE_ASSET = "profile_asset"
    SESSION = "session"
    TOOL = "tool"
    EXTERNAL = "external"


LINKED_SOURCES = frozenset({SourceType.PROFILE_FIELD, SourceType.PROFILE_ASSET})
"""The sources that are items themselves, and so are named by ``source_item_id``."""


class ProfileFieldSource(TolerantEnum):
    """Who or what a value comes from."""

    USER_PROVIDED = "user_provided"
    LLM_EXTRACTED = "llm_extracted"
    TOOL_RESULT = "tool_result"
    DOCUMENT_EXTRACTED = "document_extracted"
    HUMAN_ENTERED = "human_entered"
    SYSTEM_INFERRED = "system_inferred"

    @classmethod
    def alias_map(cls) -> Mapping[str, str]:
        """Return the short names."""
        return {"extracted": "llm_extracted", "inferred": "system_inferred", "system": "system_inferred"}


class ValueType(TolerantEnum):
    """The type of a value; the rules are in ``focal_core.profile.value_types``."""

    STRING = "string"
    EMAIL = "email"
    PHONE = "phone"
    DATE = "date"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"


class VerificationLevel(TolerantEnum):
    """How well a customer is known, from not at all upwards."""

    UNVERIFIED = "unverified"
    EMAIL_VERIFIED = "email_verified"
    PHONE_VERIFIED = "phone_verified"
    DOCUMENT_VERIFIED = "document_verified"
    KYC_COMPLETE = "kyc_complete"

    @property
    def rank(self) -> int:
        """0 for unverified, one more for each level above."""
        return list(type(self)).index(self)


class ValidationMode(TolerantEnum):
    """What becomes of a field that violates its definition."""

    STRICT = "strict"
    """It is refused."""
    WARN = "warn"
    """It is stored, logged and counted."""
    DISABLED = "disabled"
    """It is not looked at."""


class RequiredLevel(TolerantEnum):
    """Whether a scenario can go on without a field."""

    HARD = "hard"
    SOFT = "soft"


class FallbackAction(TolerantEnum):
    """What to do about a missing field."""

    ASK = "ask"
    SKIP = "skip"
    BLOCK = "block"
    EXTRACT = "extract"


class GapFillSource(TolerantEnum):
    """Where a missing value was found."""

    NOT_FOUND = "not_found"
    PROFILE = "profile"
    SESSION = "session"
    EXTRACTION = "extraction"


class FieldScope(TolerantEnum):
    """What a field belongs to."""

    IDENTITY = "identity"
    BUSINESS = "business"
    CASE = "case"
    SESSION = "session"


class MergePolicy(TolerantEnum):
    """Which of two active fields of one name survives a merge."""

    BEST = "best"
    """The verified one, else the more confident, else the later collected, else the target's."""
    TARGET_WINS = "target_wins"
    SOURCE_WINS = "source_wins"


class OnDependents(TolerantEnum):
    """What to do when an item to be deleted has active items derived from it."""

    REFUSE = "refuse"
    ORPHAN = "orphan"
