"""``focal init``: a starter settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from focal_core.errors import SettingsError
from focal_core.settings_sources import DEFAULT_FILE

STARTER = """\
# Settings of focal. Every key can also be set in the environment: [stores] default is FOCAL_STORES__DEFAULT.
# Order: arguments in code, then the environment, then this file, then the defaults. `focal config show` prints
# the outcome; `focal doctor` tries it. ${NAME} in a text is replaced by that environment variable.

isolation = "strict"            # an omitted tenant is an error; "trusting" takes the only tenant a call can mean

[stores]                        # port -> backend; ports: config, memory, sessions, audit, profiles, runtime
default = "inmemory"            # serves every port that names no other; rows are gone when the process ends
# sessions = "hot"

[providers]
embedding = "hashing"           # deterministic, lexical, nothing to download
# llm = "claude"
# rerank = "hashing"

# [backends.main]               # a name of your own, to be used above ...
# use = "postgres"              # ... for an installed backend (`focal plugins list`); pip install focal-postgres
# url = "postgresql://localhost/focal"      # or the environment variable DATABASE_URL

# [backends.hot]
# use = "redis"                 # pip install focal-redis
# url = "redis://localhost:6379/0"          # or REDIS_URL

# [backends.claude]
# use = "anthropic"             # pip install focal-providers; the key: ANTHROPIC_API_KEY
# model = "..."

[session]
# hot_tier = "hot"              # keep sessions in use on that backend too, before the one of [stores]
idle_ttl_seconds = 604800       # idle time after which a session is gone
max_session_age_seconds = 604800            # age after which it is gone, however active

# [vector]
# embedding_model = "..."       # what a search means that names no model
# strict_spaces = true          # accept vectors of these spaces only:
# spaces = ["model:384"]

[profile]
validation_enabled = true       # check profile fields against their definitions
auto_expire_enabled = true      # mark fields past their time
expire_check_interval_seconds = 300
# cache_enabled = true          # needs focal-redis
"""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    path: Annotated[Path, typer.Argument(help="File to write, or a folder to write focal.toml into.")] = Path(
        DEFAULT_FILE
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a commented starter settings file that works as it stands."""
    target = path / DEFAULT_FILE if path.is_dir() else path
    if target.exists() and not force:
        raise SettingsError(f"{target} exists already", hint=f"focal init {target} --force overwrites it")
    try:
        target.write_text(STARTER, encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"cannot write {target}: {error.strerror}", hint="name a file in a folder that exists"
        ) from None
    typer.echo(f"wrote {target}; next: focal doctor --config {target}")
