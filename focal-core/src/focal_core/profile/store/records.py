"""Profiles as a whole: found, created, saved, deleted, erased."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime
from uuid import UUID

from focal_core.conversation.models import Channel
from focal_core.paging import Page
from focal_core.profile.models import Consent, CustomerProfile, VerificationLevel
from focal_core.store import Store


class ProfileRecords(Store):
    """Profiles as a whole.

    A profile that was merged into another one stands for it: wherever a ``profile_id`` or ``customer_id`` is taken,
    that of a merged source means the profile that survived, over any number of merges. Only ``delete`` and ``save``
    mean the very profile. A deleted profile is absent, and so are its fields, assets and consents.

    What is read is of one moment: fields and assets that are past their ``expires_at`` read as expired, whether or not
    ``expire_stale_fields`` ran. ``fields`` and ``assets`` hold what is active then; ``field_history`` and
    ``asset_history`` are empty unless asked for, and then hold all other versions, newest first.
    """

    @abstractmethod
    async def get_by_customer_id(
        self, tenant_id: UUID, customer_id: UUID, *, include_history: bool = False
    ) -> CustomerProfile | None:
        """Return the profile of a customer, or None.

        Args:
            tenant_id: the owner.
            customer_id: the customer; of a merged profile too.
            include_history: whether to fill the histories.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_by_id(
        self, tenant_id: UUID, profile_id: UUID, *, include_history: bool = False
    ) -> CustomerProfile | None:
        """Return a profile, or None when the tenant has none of that id.

        Args:
            tenant_id: the owner.
            profile_id: the profile, or one that was merged into it.
            include_history: whether to fill the histories.

        Raises:
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_by_channel_identity(
        self, tenant_id: UUID, channel: Channel, channel_user_id: str, *, include_history: bool = False
    ) -> CustomerProfile | None:
        """Return the profile an account is linked to, or None.

        Args:
            tenant_id: the owner.
            channel: the channel.
            channel_user_id: the customer's id there, in any Unicode form.
            include_history: whether to fill the histories.

        Raises:
            InvalidDataError: channel or channel_user_id cannot be one.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_by_external_id(
        self, tenant_id: UUID, external_id: str, *, include_history: bool = False
    ) -> CustomerProfile | None:
        """Return the live profile that carries an external id, or None.

        Args:
            tenant_id: the owner.
            external_id: the id in the other system, in any Unicode form.
            include_history: whether to fill the histories.

        Raises:
            InvalidDataError: the id cannot be one (code ``identifier_invalid``).
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def get_or_create(self, tenant_id: UUID, channel: Channel, channel_user_id: str) -> CustomerProfile:
        """Return the profile an account is linked to, after creating one if there is none.

        However many callers ask at once, one profile is created and all of them get it. The account of a deleted
        profile gets a new one.

        Args:
            tenant_id: the owner.
            channel: the channel.
            channel_user_id: the customer's id there, in any Unicode form.

        Raises:
            InvalidDataError: channel or channel_user_id cannot be one.
            StoreUnavailableError: nothing was created; safe to retry.
        """

    @abstractmethod
    async def save(self, profile: CustomerProfile) -> UUID:
        """Insert or update a profile with what it holds, all of it or nothing, and return its id.

        Identities, active fields, active assets and consents that the object holds are inserted or updated. What it
        does not hold is left alone: removing takes the explicit methods. Histories are ignored.

        Field and asset ids name versions, so that an old copy never reverts a newer value:

        - an id that is stored as active, with the same content: nothing to do;
        - an id that is stored as active, with other content: a new version supersedes it and gets a new id, which is
          set on the object passed in;
        - an id that is stored as no longer active: ignored;
        - an id that is not stored: a new version. A field supersedes the active one of its name; an asset is added
          beside others of its name.

        An identity is known by its id, or else by channel and channel_user_id; a primary one takes the place of the
        profile's other primary one on its channel. A consent that is stored already must be the same.

        ``row_version`` guards the profile's own values (ids, verification_level, last_interaction_at, deletion): 0
        overwrites them, n writes only over n. On success it is set on the object passed in with created_at and
        updated_at; writes to children do not advance it.

        Args:
            profile: what to save. A deleted profile is revived only if it is constructed with ``deleted_at=None`` and
                the ``row_version`` of the deleted one; a merged one never is.

        Raises:
            StaleVersionError: row_version is given and another one is stored.
            ConflictError: an account is another live profile's (code ``identity_taken``), or the profile is deleted
                (``deleted``) or merged (``merged``).
            DuplicateError: external_id, customer_id, or the id of an identity, field, asset or consent belongs to
                another profile, or a consent is stored with other content (``record_differs``).
            InvalidDataError: the profile is invalid or too large, or a lineage is refused as in ``update_field``.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def delete(self, tenant_id: UUID, profile_id: UUID) -> bool:
        """Delete a profile and return True; False when it is absent, deleted or merged already.

        The row stays, with ``deleted_at`` set; its accounts and its external_id are free for other profiles. Profiles
        that were merged into it are absent with it.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def erase_profile(self, tenant_id: UUID, profile_id: UUID) -> int:
        """Remove every row of a profile for good and return how many; 0 when there is none.

        Removed are the profile, deleted or not, its identities, fields in every version, assets and consents, and
        all that belongs to profiles that were merged into it. Items of other profiles that were derived from it stay;
        ``mark_orphaned_items`` finds them.

        Args:
            tenant_id: the owner.
            profile_id: the profile, or one that was merged into it.

        Raises:
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def list_profiles(
        self, tenant_id: UUID, *, updated_since: datetime | None = None, limit: int = 100, after: str | None = None
    ) -> Page[CustomerProfile]:
        """Return the profiles of a tenant by created_at, then id, ascending.

        Args:
            tenant_id: the owner.
            updated_since: only profiles whose own row was written at or after this moment; writes to fields, assets,
                identities and consents do not count.
            limit: rows, 1 to 1,000.
            after: cursor of the previous page.

        Raises:
            InvalidDataError: limit, cursor or updated_since are wrong.
            StoreUnavailableError: no answer; safe to retry.
        """

    @abstractmethod
    async def record_consent(self, tenant_id: UUID, profile_id: UUID, consent: Consent) -> UUID:
        """Append what a customer agreed to or withdrew, and return its id; the same record again changes nothing.

        Raises:
            NotFoundError: no such profile.
            DuplicateError: the id is stored with other content (code ``record_differs``): consents never change.
            InvalidDataError: the consent is invalid.
            StoreUnavailableError: nothing was written; safe to retry.
        """

    @abstractmethod
    async def set_verification_level(self, tenant_id: UUID, profile_id: UUID, level: VerificationLevel) -> None:
        """Set how well a customer is known, up or down; the profile's row_version advances.

        Raises:
            NotFoundError: no such profile.
            InvalidDataError: the level is none of its values (code ``enum_invalid``).
            StoreUnavailableError: nothing was written; safe to retry.
        """
