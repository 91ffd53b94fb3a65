"""Where a rule or template applies: everywhere, in a scenario, in a step."""

from __future__ import annotations

from typing import Self
from uuid import UUID

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel, TolerantEnum


class Scope(TolerantEnum):
    """What a rule or template is bound to."""

    GLOBAL = "global"
    SCENARIO = "scenario"
    STEP = "step"


class Scoped(FocalModel):
    """Mix-in for what applies globally, or in one scenario or step.

    Attributes:
        scope: what it is bound to.
        scope_id: the scenario or step; set exactly when the scope is not global.
    """

    scope: Scope = Scope.GLOBAL
    scope_id: UUID | None = None

    @model_validator(mode="after")
    def _pair_scope(self) -> Self:
        if (self.scope is Scope.GLOBAL) != (self.scope_id is None):
            wrong = "must not be set" if self.scope is Scope.GLOBAL else "is required"
            raise PydanticCustomError("focal.scope_invalid", f"scope_id {wrong} with scope {self.scope.value}")
        return self
