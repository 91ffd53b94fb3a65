"""Addresses: what each spelling means, and that no password shows."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from focal_core.errors import SettingsError
from focal_redis.address import read
from focal_redis.settings import RedisOptions


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "arguments"),
    [
        ("redis://cache", "single", (("cache", 6379),), {}),
        ("redis://u:p%40ss@cache:7000/3", "single", (("cache", 7000),), {"username": "u", "password": "p@ss", "db": 3}),
        ("redis://:secret@[::1]:7000", "single", (("::1", 7000),), {"password": "secret"}),
        ("redis+cluster://u:p@a:1,b:2", "cluster", (("a", 1), ("b", 2)), {"username": "u", "password": "p"}),
        ("redis+cluster://a,b", "cluster", (("a", 6379), ("b", 6379)), {}),
        ("redis+sentinel://:p@a,b:5/main/2", "sentinel", (("a", 26379), ("b", 5)), {"password": "p", "db": 2}),
    ],
)
def test_address_is_read(url: str, kind: str, hosts: object, arguments: object) -> None:
    """An address of any kind gives its hosts, and what the driver needs."""
    address = read(url)
    assert (address.kind, address.hosts, address.arguments, address.tls) == (kind, hosts, arguments, False)


@pytest.mark.parametrize("url", ["rediss://cache", "rediss+cluster://a,b", "rediss+sentinel://a/main"])
def test_tls_is_asked_for_by_the_scheme(url: str) -> None:
    """rediss means TLS, whatever is behind it."""
    assert read(url).tls


def test_socket_file_has_no_host() -> None:
    """A socket file is an address without a host."""
    address = read("unix:///run/redis.sock?db=2")
    assert (address.hosts, address.arguments) == ((), {"path": "/run/redis.sock", "db": 2})
    assert address.shown == "Redis at /run/redis.sock"


def test_sentinels_name_the_primary() -> None:
    """The path of an address of sentinels begins with the primary's name."""
    assert read("redis+sentinel://a/my%20main/1").service == "my main"


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a",
        "redis+cluster://a:x",
        "redis+cluster://a,,b",
        "redis+cluster://a/3",
        "redis+other://a",
        "redis://a:99999999",
        "redis://[::1",
    ],
)
def test_address_that_cannot_be_used_is_refused(url: str) -> None:
    """What cannot be read is a SettingsError that does not repeat the address."""
    with pytest.raises(SettingsError) as caught:
        read(url.replace("://", "://:hunter2@"))
    assert caught.value.code == "url_invalid"
    assert "hunter2" not in str(caught.value)


def test_password_is_not_shown() -> None:
    """What stands in messages holds hosts and ports only."""
    for url in ("redis://u:hunter2@a:1/0", "redis+cluster://u:hunter2@a:1,b:2", "redis+sentinel://u:hunter2@a:1/main"):
        assert "hunter2" not in read(url).shown


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://cache"},
        {"url": "redis://a", "hot_url": "redis://a"},
        {"url": "redis://a", "hot_url": "embedded://b"},
        {"url": "redis://a", "key_prefix": "a{b}"},
        {"url": "redis://a", "key_prefix": "a*"},
        {"url": "redis://a", "key_prefix": ""},
        {"url": "redis://a", "cluster_spread": 0},
        {"url": "redis://a", "client_name": "two words"},
        {"url": "redis://a", "retries": 3},
    ],
)
def test_option_that_cannot_work_is_refused(options: dict[str, object]) -> None:
    """Unknown keys, and values that would break keys or commands, are refused before anything is opened."""
    with pytest.raises(ValidationError):
        RedisOptions.model_validate(options)


def test_embedded_folder_is_told() -> None:
    """An embedded address names a folder, any other none."""
    assert str(RedisOptions.model_validate({"url": "embedded://.focal/redis"}).embedded_folder) == ".focal/redis"
    assert RedisOptions.model_validate({"url": "redis://a"}).embedded_folder is None
