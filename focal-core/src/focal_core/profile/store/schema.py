"""Field definitions: what an agent expects of the fields it collects."""

from __future__ import annotations

from abc import abstractmethod
from uuid import UUID

from focal_core.paging import Page
from focal_core.profile.models import ProfileFieldDefinition
from focal_core.store import Store


class FieldSchema(Store):
    """Field definitions of agents."""

    @abstractmethod
    async def get_field_definitions(
        self,
        tenant_id: UUID,
        agent_id: UUID,
        *,
        enabled_only: bool = True,
        limit: int | None = None,
        after: str | None = None,
    ) -> Page[ProfileFieldDefinition]:
        """Return the field definitions of an agent by name, ascending by code points.

        Args:
            tenant_id: the owner.
            agent_id: the agent.
            enabled_only: False lists disabled ones too.
            limit: rows, 1 to 1,000; None = all.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit or cursor are wrong, or there are too many rows (code ``result_too_large``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_field_definition(
        self, tenant_id: UUID, agent_id: UUID, field_name: str
    ) -> ProfileFieldDefinition | None:
        """Return an agent's definition of a field, enabled or not, or None.

        Raises:
            InvalidDataError: field_name cannot be one (code ``identifier_invalid``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_field_definition_by_id(self, tenant_id: UUID, definition_id: UUID) -> ProfileFieldDefinition | None:
        """Return a field definition, enabled or not, or None.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    async def list_pii_fields(self, tenant_id: UUID) -> frozenset[str] | None:
        """Return the names of the fields that an agent of a tenant defines as personal, whether enabled or not.

        Personal is ``is_pii``. Whoever keeps copies of profiles asks for it. None where the store cannot tell, which is
        the default; then every field may be personal.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """
        return None

    @abstractmethod
    async def save_field_definition(self, definition: ProfileFieldDefinition) -> UUID:
        """Insert or update a field definition by its id, and return the id.

        ``row_version`` 0 overwrites, n writes only over n; on success it is set on the object passed in with
        created_at and updated_at.

        Raises:
            DuplicateError: another definition of the agent has the name (code ``definition_name_taken``).
            StaleVersionError: row_version is given and another one is stored.
            InvalidDataError: the definition is invalid; code ``pattern_invalid`` also for a pattern that takes too
                long to compile.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete_field_definition(self, tenant_id: UUID, agent_id: UUID, field_name: str) -> bool:
        """Remove an agent's definition of a field for good and return True; False when there is none.

        Fields that follow it keep their values.

        Raises:
            InvalidDataError: field_name cannot be one (code ``identifier_invalid``).
            StoreUnavailableError: nothing was written; safe to retry.
        """
