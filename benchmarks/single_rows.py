"""Methods of one statement on PostgreSQL, one caller: focal against the same statement on bare asyncpg.

The opponent is asyncpg's own pool without reset and with its statements prepared. It sends the very text and parameters
that focal sends, taken from a call of focal's, so the two cannot drift apart. Of what it reads it makes the same
pydantic models in one ``model_validate`` each, JSON decoded by pydantic, vectors by ``array``. What it writes is ready:
it checks, copies, folds and encodes nothing, and puts only the time and a new id or the next version into its
parameters. Each system has a tenant of its own with the same rows. What the reads return is compared, what was written
is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from harness import Given, Outcome, Server, compare, for_a_time, judged, main, opened, options, table_of
from opponent import Statement, Watching, bare_pool, model

from focal_core.base import FocalModel
from focal_core.config.models import Rule, Variable
from focal_core.context import BackendContext
from focal_core.conversation.models import Channel
from focal_core.ids import uuid7
from focal_core.memory.models import Episode
from focal_core.profile.models import (
    ChannelIdentity,
    CustomerProfile,
    ProfileField,
    ProfileFieldDefinition,
    ScenarioFieldRequirement,
)
from focal_postgres.config import PostgresConfigStore
from focal_postgres.config.rules import RULES
from focal_postgres.config.variables import VARIABLES
from focal_postgres.database import Database
from focal_postgres.layout import Layout
from focal_postgres.memory import PostgresMemoryStore
from focal_postgres.memory.tables import EPISODES
from focal_postgres.profile import PostgresProfileStore
from focal_postgres.profile.tables import ASSETS, CONSENTS, DEFINITIONS, FIELDS, IDENTITIES, PROFILES, REQUIREMENTS
from focal_testkit.servers.postgres import connected

PAGE, DIMS, MODEL, GROUP, WEBCHAT, USER = 50, 384, "bench", "agent:7", Channel.WEBCHAT, "user-7"
M = TypeVar("M", bound=FocalModel)
Rows = Sequence[Any]


class Stores:
    """The stores of a database."""

    def __init__(self, database: Database) -> None:
        self.config = PostgresConfigStore(database)
        self.memory = PostgresMemoryStore(database)
        self.profiles = PostgresProfileStore(database)


class World:
    """The rows of one system: a tenant of its own, and how often it wrote what."""

    def __init__(self) -> None:
        random, self.tenant, self.agent, self.scenario = Random(1), uuid4(), uuid4(), uuid4()
        vectors = [tuple(random.gauss(0.0, 1.0) for _ in range(DIMS)) for _ in range(PAGE + 10)]
        owner: dict[str, Any] = {"tenant_id": self.tenant, "agent_id": self.agent}
        self.rules = [
            Rule(
                **owner,
                name=f"rule {n}",
                condition_text="the customer asks for the money back after more than thirty days",
                condition_embedding=vector,
                condition_embedding_model=MODEL,
                action_text="explain the terms, offer a voucher, and hand over when it is refused",
                action_config={"tone": "friendly", "offers": [{"kind": "voucher", "percent": n}]},
            )
            for n, vector in enumerate(vectors)
        ]
        self.variable = Variable(**owner, name="order_total", default_value={"amount": 12.5, "currency": "EUR"})
        self.episodes = [self.episode(n) for n in range(PAGE + 10)]
        self.plain, self.embedded = self.episode(0), self.episode(1, embedding=vectors[0], embedding_model=MODEL)
        self.profile = CustomerProfile(
            tenant_id=self.tenant,
            channel_identities=[ChannelIdentity(channel=WEBCHAT, channel_user_id=USER)],
            fields={f"field_{n}": _field(n) for n in range(10)},
        )
        self.changing = CustomerProfile(tenant_id=self.tenant)
        self.field = _field(0)
        self.definitions = [ProfileFieldDefinition(**owner, name=f"field_{n}", value_type="json") for n in range(3)]
        self.requirements = [
            ScenarioFieldRequirement(**owner, scenario_id=self.scenario, field_name=name)
            for name in ("field_0", "field_1", "field_2", "missing_0", "missing_1")
        ]
        self.written: Counter[str] = Counter()

    def episode(self, n: int, **others: Any) -> Episode:
        """Return an episode of about 100 characters."""
        content = f"The customer asked for the {n}th time where the order is that was placed a week ago, and why."
        metadata = {"channel": "webchat", "turn": n}
        return Episode(tenant_id=self.tenant, group_id=GROUP, content=content, metadata=metadata, **others)

    async def fill(self, stores: Stores) -> None:
        """Store everything that is read."""
        await stores.config.save_rules(self.rules)
        await stores.config.save_variable(self.variable)
        await stores.memory.add_episodes(self.episodes)
        await stores.profiles.save(self.profile)
        await stores.profiles.save(self.changing)
        for definition in self.definitions:
            await stores.profiles.save_field_definition(definition)
        for requirement in self.requirements:
            await stores.profiles.save_scenario_requirement(requirement)


def _field(n: int) -> ProfileField:
    return ProfileField(name=f"field_{n}", value={"street": f"{n} Main Street", "since": 2020 + n}, value_type="json")


def one(layout: Layout[M], rows: Rows) -> M:
    """Return the model of the first row."""
    return model(layout, rows[0])


def page(layout: Layout[M], rows: Rows) -> list[M]:
    """Return the models of a page, whose last row only tells that there is a next one."""
    return [model(layout, row) for row in rows[:PAGE]]


def profile(rows: Rows) -> CustomerProfile:
    """Return the profile of a union of rows, each in the columns of its own table behind three others."""
    parts: list[list[dict[str, Any]]] = [[] for _ in _PARTS]
    for row in rows:
        first, names = _PARTS[row[0]]
        parts[row[0]].append(dict(zip(names, row[first : first + len(names)], strict=True)))
    [held], identities, fields, assets, consents = parts
    held |= {"channel_identities": identities, "assets": assets, "consents": consents}
    return CustomerProfile.model_validate(held | {"fields": {field["name"]: field for field in fields}})


def missing(world: World, rows: Rows) -> list[ScenarioFieldRequirement]:
    """Return the requirements whose field is not there; definitions are read as well."""
    known, found = world.profile.fields, []
    for row in rows:
        requirement = model(REQUIREMENTS, row)
        if requirement.field_name not in known:
            found.append(requirement)
        elif row[_DEFINITION_ID] is not None:
            model(DEFINITIONS, row, len(REQUIREMENTS.columns))
    return found


def _parts() -> list[tuple[int, list[str]]]:
    parts, first = [], 3
    for layout in (PROFILES, IDENTITIES, FIELDS, ASSETS, CONSENTS):
        parts.append((first, [one.field for one in layout.columns]))
        first += len(layout.columns)
    return parts


_PARTS = _parts()
_DEFINITION_ID = len(REQUIREMENTS.columns) + DEFINITIONS.names.index("id")


class Read(NamedTuple):
    """A method that reads: focal's call, and what the opponent makes of the rows."""

    call: Callable[[Stores, World], Awaitable[Any]]
    made: Callable[[World, Rows], Any]


class Write(NamedTuple):
    """A method that writes.

    Attributes:
        call: focal's; ``renewed`` is done before.
        renewed: what every call must have a new id of, or None: a row that is saved over and over.
    """

    call: Callable[[Stores, World], Awaitable[Any]]
    renewed: Callable[[World], Episode | ProfileField] | None = None


READS = {
    "get_rule": Read(lambda s, w: s.config.get_rule(w.tenant, w.rules[7].id), lambda w, rows: one(RULES, rows)),
    "get_rules, 50": Read(
        lambda s, w: s.config.get_rules(w.tenant, w.agent, limit=PAGE), lambda w, rows: page(RULES, rows)
    ),
    "get_variable_by_name": Read(
        lambda s, w: s.config.get_variable_by_name(w.tenant, w.agent, w.variable.name),
        lambda w, rows: one(VARIABLES, rows),
    ),
    "get_episode": Read(
        lambda s, w: s.memory.get_episode(w.episodes[7].id, tenant_id=w.tenant),
        lambda w, rows: one(EPISODES, rows),
    ),
    "list_episodes, 50": Read(
        lambda s, w: s.memory.list_episodes(GROUP, tenant_id=w.tenant, limit=PAGE),
        lambda w, rows: page(EPISODES, rows),
    ),
    "get_by_id, 10 fields": Read(
        lambda s, w: s.profiles.get_by_id(w.tenant, w.profile.id), lambda w, rows: profile(rows)
    ),
    "get_by_channel_identity": Read(
        lambda s, w: s.profiles.get_by_channel_identity(w.tenant, WEBCHAT, USER), lambda w, rows: profile(rows)
    ),
    "get_or_create, hit": Read(
        lambda s, w: s.profiles.get_or_create(w.tenant, WEBCHAT, USER), lambda w, rows: profile(rows)
    ),
    "get_field": Read(
        lambda s, w: s.profiles.get_field(w.tenant, w.profile.id, "field_3"), lambda w, rows: one(FIELDS, rows)
    ),
    "get_missing_fields": Read(
        lambda s, w: s.profiles.get_missing_fields(w.tenant, w.profile, w.scenario),
        lambda w, rows: missing(w, rows),
    ),
}
WRITES = {
    "save_rule": Write(lambda s, w: s.config.save_rule(w.rules[0])),
    "add_episode": Write(lambda s, w: s.memory.add_episode(w.plain), lambda w: w.plain),
    "add_episode, vector of 384": Write(lambda s, w: s.memory.add_episode(w.embedded), lambda w: w.embedded),
    "update_field": Write(lambda s, w: s.profiles.update_field(w.tenant, w.changing.id, w.field), lambda w: w.field),
}


async def captured(watching: Watching, call: Callable[[], Awaitable[Any]]) -> Statement:
    """Return the one statement of a call that has been made before."""
    await call()
    watching.seen.clear()
    await call()
    [statement] = watching.seen
    return statement


def sent(pool: Any, statement: Statement) -> Callable[[Sequence[Any]], Awaitable[Rows]]:
    """Return a call that sends a statement as focal does, with the parameters it is given."""
    sql, single = statement.sql, statement.way == "fetchrow"

    async def send(args: Sequence[Any]) -> Rows:
        async with pool.acquire() as connection:
            if single:
                return (await connection.fetchrow(sql, *args),)
            return await connection.fetch(sql, *args)  # type: ignore[no-any-return]

    return send


def reading(pool: Any, statement: Statement, read: Read, world: World) -> Callable[[], Awaitable[Any]]:
    """Return the opponent's call of a read."""
    send = sent(pool, statement)

    async def call() -> Any:
        return read.made(world, await send(statement.args))

    return call


def writing(
    pool: Any, statement: Statement, write: Write, world: World, name: str, began: datetime
) -> Callable[[], Awaitable[None]]:
    """Return the opponent's call of a write; what is of the store's clock, later than ``began``, is new every time."""
    send, args = sent(pool, statement), list(statement.args)
    # The expected version stands before the flag of a revival and the vector.
    place = len(args) - 3 if write.renewed is None else args.index(write.renewed(world).id)

    moments = [at for at, value in enumerate(args) if isinstance(value, datetime) and value > began]

    async def call() -> None:
        for at in moments:
            args[at] = datetime.now(UTC)
        args[place] = args[place] + 1 if write.renewed is None else uuid7()
        [_] = await send(args)
        world.written[name] += 1

    return call


def ours(stores: Stores, write: Write, world: World, name: str) -> Callable[[], Awaitable[None]]:
    """Return focal's call of a write."""

    async def call() -> None:
        if write.renewed is not None:
            write.renewed(world).set_stored(id=uuid7())
        await write.call(stores, world)
        world.written[name] += 1

    return call


async def wrong_writes(url: str, world: World, system: str) -> list[str]:
    """Return what was acknowledged and is not there, or the other way round."""
    counts = {
        "save_rule": ("SELECT row_version FROM focal.rules WHERE tenant_id = $1 AND id = $2", world.rules[0].id),
        "add_episode": ("SELECT count(*) FROM focal.episodes WHERE tenant_id = $1 AND group_id = $2", GROUP),
        "add_episode, vector of 384": (
            "SELECT count(*) FROM focal.episode_vectors WHERE tenant_id = $1 AND group_id = $2",
            GROUP,
        ),
        "update_field": (
            "SELECT count(*) FROM focal.profile_fields WHERE tenant_id = $1 AND profile_id = $2",
            world.changing.id,
        ),
    }
    async with connected(url) as connection:
        found = {name: await connection.fetchval(sql, world.tenant, key) for name, (sql, key) in counts.items()}
    done = world.written.copy()
    done["save_rule"] += 1
    done["add_episode"] += len(world.episodes) + done["add_episode, vector of 384"]
    return [
        f"{system}: {name}: {done[name]} acknowledged, {found[name]} stored"
        for name in found
        if found[name] != done[name]
    ]


def comparable(found: Any) -> Any:
    """Return models as what can be compared: which fields were given is no part of it."""
    return [one.model_dump() for one in found] if isinstance(found, list) else found.model_dump()


async def measure(server: Server, given: Given) -> Outcome:
    """Compare every method."""
    rounds, seconds = given.of((7, 0.4), (5, 0.1), (1, 0.01))
    mine, its = World(), World()
    calls: dict[str, list[Callable[[], Awaitable[Any]]]] = {}
    problems: list[str] = []
    async with server.database() as url, opened(Watching(options(url))) as watching:
        seen = Stores(watching)
        for world in (mine, its):
            await world.fill(seen)
        async with connected(url) as connection:
            await connection.execute("VACUUM ANALYZE")
        async with opened(Database(options(url), BackendContext())) as database, await bare_pool(url) as pool:
            stores, began = Stores(database), datetime.now(UTC)
            for name, write in WRITES.items():
                statement = await captured(watching, ours(seen, write, its, name))
                calls[name] = [ours(stores, write, mine, name), writing(pool, statement, write, its, name, began)]
            for name, read in READS.items():
                statement = await captured(watching, partial(read.call, seen, its))
                calls[name] = [partial(read.call, stores, mine), reading(pool, statement, read, its)]
                if comparable(await read.call(seen, its)) != comparable(await calls[name][1]()):
                    problems.append(f"{name}: the opponent returns something else")
            comparisons = [
                await compare(
                    name,
                    {
                        system: partial(for_a_time, call, seconds, server.cpu)
                        for system, call in zip(("focal", "bare asyncpg"), pair, strict=True)
                    },
                    rounds,
                )
                for name, pair in calls.items()
                if given.only in name
            ]
        problems += [*await wrong_writes(url, mine, "focal"), *await wrong_writes(url, its, "bare asyncpg")]
    table = table_of(comparisons, "methods of one statement, one caller")
    note = (
        f"verified: {sum(mine.written.values()):,} writes of focal's, {sum(its.written.values()):,} of the opponent's"
    )
    return Outcome(
        [table], [one.as_json() for one in comparisons], problems, judged(comparisons), [note] * (not problems)
    )


if __name__ == "__main__":
    main(measure, __doc__ or "")
