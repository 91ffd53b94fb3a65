"""The PostgreSQL profile store under the profiles contract."""

from __future__ import annotations

import pytest
from tests.integration.postgres.support import PostgresStoreCase

from focal_core.errors import DuplicateError
from focal_postgres.profile import PostgresProfileStore
from focal_testkit.contracts.profile import ProfileStoreContract
from focal_testkit.data.profile import PROFILE, USER, identity, profile
from focal_testkit.scenarios import OURS


class TestPostgresProfiles(PostgresStoreCase, ProfileStoreContract):
    store_class = PostgresProfileStore

    @pytest.mark.asyncio
    async def test_relinked_under_the_id_of_another_account(self, store: PostgresProfileStore) -> None:
        """An account that is linked again under the id of another account is refused, though its row is found first."""
        await store.save(profile(0, channel_identities=[identity(0), identity(1)]))
        confused = identity(1, channel_user_id=f"{USER}0", verified=True)

        with pytest.raises(DuplicateError) as caught:
            await store.link_channel(OURS, PROFILE, confused)

        assert caught.value.code == "id_taken"
        found = await store.get_by_id(OURS, PROFILE)
        assert found is not None
        assert [one.verified for one in found.channel_identities] == [False, False]
