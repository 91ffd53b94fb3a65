"""Migration plans: how running sessions get from one version of a scenario to another.

The parts of a plan are stored as they are given; computing them is the application's task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self
from uuid import UUID

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from focal_core.base import FocalModel, TenantScoped, TolerantEnum, Versioned
from focal_core.ids import uuid7
from focal_core.values import Identifier, JSONObject, Text, UTCDateTime


class MigrationPlanStatus(TolerantEnum):
    """How far a plan has come."""

    DRAFT = "draft"
    """Also read from ``pending``."""
    APPROVED = "approved"
    DEPLOYED = "deployed"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"

    @classmethod
    def alias_map(cls) -> Mapping[str, str]:
        """Return alias -> value."""
        return {"pending": "draft"}


LEGAL_TRANSITIONS: Mapping[MigrationPlanStatus, frozenset[MigrationPlanStatus]] = {
    MigrationPlanStatus.DRAFT: frozenset(
        {MigrationPlanStatus.APPROVED, MigrationPlanStatus.REJECTED, MigrationPlanStatus.SUPERSEDED}
    ),
    MigrationPlanStatus.APPROVED: frozenset({MigrationPlanStatus.DEPLOYED}),
    MigrationPlanStatus.DEPLOYED: frozenset({MigrationPlanStatus.SUPERSEDED}),
    MigrationPlanStatus.SUPERSEDED: frozenset(),
    MigrationPlanStatus.REJECTED: frozenset(),
}
"""Status -> what a save may change it to; staying the same is always allowed."""


class MigrationScenario(TolerantEnum):
    """What a migration means for a session at an anchor."""

    CLEAN_GRAFT = "clean_graft"
    GAP_FILL = "gap_fill"
    RE_ROUTE = "re_route"


class ChangeType(TolerantEnum):
    """How something differs between two versions."""

    ADDED = "added"
    REMOVED = "removed"
    MODIFIED = "modified"


class Severity(TolerantEnum):
    """How grave a warning is."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class InsertedNode(FocalModel):
    """A step that the newer version has in addition."""

    node_id: UUID
    node_name: Identifier
    collects_fields: list[Identifier] = Field(default_factory=list)
    has_rules: bool = False
    is_required_action: bool = False
    is_checkpoint: bool = False


class ForkBranch(FocalModel):
    """One way out of a fork."""

    target_step_id: UUID
    target_step_name: Identifier
    condition_text: Text
    condition_fields: list[Identifier] = Field(default_factory=list)


class NewFork(FocalModel):
    """A step that branches in the newer version only."""

    fork_node_id: UUID
    fork_node_name: Identifier
    branches: list[ForkBranch] = Field(default_factory=list)


class TransitionChange(FocalModel):
    """A transition that differs between the versions."""

    from_step_id: UUID
    to_step_id_v1: UUID | None = None
    to_step_id_v2: UUID | None = None
    change_type: ChangeType


class NodeChanges(FocalModel):
    """What differs on one side of an anchor."""

    inserted_nodes: list[InsertedNode] = Field(default_factory=list)
    removed_node_ids: list[UUID] = Field(default_factory=list)
    new_forks: list[NewFork] = Field(default_factory=list)
    modified_transitions: list[TransitionChange] = Field(default_factory=list)


class AnchorTransformation(FocalModel):
    """A step both versions have, and what differs before and behind it."""

    anchor_content_hash: Identifier
    anchor_name: Identifier
    anchor_node_id_v1: UUID
    anchor_node_id_v2: UUID
    upstream_changes: NodeChanges = Field(default_factory=NodeChanges)
    downstream_changes: NodeChanges = Field(default_factory=NodeChanges)
    migration_scenario: MigrationScenario


class DeletedNode(FocalModel):
    """A step the newer version has not, and the anchor its sessions go to."""

    node_id_v1: UUID
    node_name: Identifier
    nearest_anchor_hash: Identifier | None = None
    nearest_anchor_id_v2: UUID | None = None


class TransformationMap(FocalModel):
    """The difference between two versions.

    Attributes:
        anchors: steps both have.
        deleted_nodes: steps only the older one has.
        new_node_ids: steps only the newer one has.
        extra: keys unknown to focal, kept as they came.
    """

    anchors: list[AnchorTransformation] = Field(default_factory=list)
    deleted_nodes: list[DeletedNode] = Field(default_factory=list)
    new_node_ids: list[UUID] = Field(default_factory=list)
    extra: JSONObject = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _keep_unknown(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        unknown = {name: value for name, value in data.items() if name not in cls.model_fields}
        extra = data.get("extra", {})
        if not unknown or not isinstance(extra, Mapping):
            return data
        known = {name: value for name, value in data.items() if name in cls.model_fields}
        return {**known, "extra": {**extra, **unknown}}


class ScopeFilter(FocalModel):
    """Which sessions a plan is for; an empty include list means all.

    Attributes:
        include_channels: only sessions on these channels.
        exclude_channels: no sessions on these channels.
        include_current_nodes: only sessions at steps of these names.
        exclude_current_nodes: no sessions at steps of these names.
        min_session_age_days: only sessions at least this old.
        max_session_age_days: only sessions at most this old.
        custom_conditions: the application's own.
    """

    include_channels: list[Identifier] = Field(default_factory=list)
    exclude_channels: list[Identifier] = Field(default_factory=list)
    include_current_nodes: list[Identifier] = Field(default_factory=list)
    exclude_current_nodes: list[Identifier] = Field(default_factory=list)
    min_session_age_days: int | None = Field(default=None, ge=0)
    max_session_age_days: int | None = Field(default=None, ge=0)
    custom_conditions: list[Text] = Field(default_factory=list)


class AnchorMigrationPolicy(FocalModel):
    """What is done with the sessions at one anchor.

    Attributes:
        anchor_content_hash: content hash of the step.
        anchor_name: its name.
        scope_filter: which sessions; overrides that of the plan.
        update_downstream: whether what lies behind the anchor is taken from the newer version.
        force_scenario: what the migration means here, whatever was computed.
    """

    anchor_content_hash: Identifier
    anchor_name: Identifier
    scope_filter: ScopeFilter | None = None
    update_downstream: bool = True
    force_scenario: MigrationScenario | None = None


class MigrationWarning(FocalModel):
    """Something to look at before a plan is approved."""

    severity: Severity
    anchor_name: Identifier
    message: Text
    affected_sessions_estimate: int = Field(default=0, ge=0)


class FieldCollectionInfo(FocalModel):
    """A profile field the newer version asks for in addition."""

    field_name: Identifier
    display_name: Identifier
    affected_anchors: list[Identifier] = Field(default_factory=list)
    reason: Text
    can_extract_from_conversation: bool = True


class MigrationSummary(FocalModel):
    """What a plan amounts to, for the one who approves it."""

    total_anchors: int = Field(default=0, ge=0)
    anchors_with_clean_graft: int = Field(default=0, ge=0)
    anchors_with_gap_fill: int = Field(default=0, ge=0)
    anchors_with_re_route: int = Field(default=0, ge=0)
    nodes_deleted: int = Field(default=0, ge=0)
    estimated_sessions_affected: int = Field(default=0, ge=0)
    sessions_by_anchor: dict[Identifier, int] = Field(default_factory=dict)
    warnings: list[MigrationWarning] = Field(default_factory=list)
    fields_to_collect: list[FieldCollectionInfo] = Field(default_factory=list)


class MigrationPlan(TenantScoped, Versioned):
    """How sessions get from one version of a scenario to a later one.

    Attributes:
        id: id of the plan.
        scenario_id: the scenario.
        from_version: the older version.
        to_version: the newer version, greater.
        status: how far the plan has come (``LEGAL_TRANSITIONS``).
        transformation_map: what differs.
        anchor_policies: what is done at each anchor, by content hash.
        scope_filter: which sessions, unless an anchor policy says otherwise.
        scenario_checksum_v1: content hash of the older version.
        scenario_checksum_v2: content hash of the newer version.
        summary: what it amounts to.
        created_by: who wrote it.
        approved_by: who approved it.
        approved_at: when; required once approved or deployed.
        deployed_at: when it was deployed; required once deployed.
        expires_at: until when it may be used.
    """

    id: UUID = Field(default_factory=uuid7)
    scenario_id: UUID
    from_version: int = Field(ge=1)
    to_version: int = Field(ge=1)
    status: MigrationPlanStatus = MigrationPlanStatus.DRAFT
    transformation_map: TransformationMap
    anchor_policies: dict[Identifier, AnchorMigrationPolicy] = Field(default_factory=dict)
    scope_filter: ScopeFilter | None = None
    scenario_checksum_v1: Identifier | None = None
    scenario_checksum_v2: Identifier | None = None
    summary: MigrationSummary = Field(default_factory=MigrationSummary)
    created_by: Identifier | None = None
    approved_by: Identifier | None = None
    approved_at: UTCDateTime | None = None
    deployed_at: UTCDateTime | None = None
    expires_at: UTCDateTime | None = None

    @model_validator(mode="after")
    def _check_plan(self) -> Self:
        if self.from_version >= self.to_version:
            raise PydanticCustomError("focal.versions_invalid", "from_version must be less than to_version")
        deployed = self.status is MigrationPlanStatus.DEPLOYED
        if (deployed or self.status is MigrationPlanStatus.APPROVED) and self.approved_at is None:
            raise PydanticCustomError("focal.plan_times_invalid", f"a plan that is {self.status} needs approved_at")
        if deployed and self.deployed_at is None:
            raise PydanticCustomError("focal.plan_times_invalid", "a plan that is deployed needs deployed_at")
        return self
