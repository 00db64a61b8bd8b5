# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from postgrey_py.greylist.settings import DEBIAN_PATHS, EPEL_PATHS, PATHS, UPSTREAM_PATHS, Settings

# What 1.37 does where no option says otherwise; times in seconds.
DEFAULTS_OF_137 = {
    "delay": 300,
    "max_age": 3024000,
    "retry_window": 172800,
    "auto_whitelist_clients": 5,
    "lookup_by_host": False,
    "ipv4cidr": 24,
    "ipv6cidr": 64,
    "privacy": False,
    "greylist_action": "DEFER_IF_PERMIT",
    "greylist_text": "Greylisted, see http://postgrey.schweikert.ch/help/%r.html",
    "x_greylist_header": "X-Greylist: delayed %t seconds by postgrey-%v at %h; %d",
    "exim": False,
    # unlike 1.37, which has no such options.
    "control": None,
    "ignore_test_time": False,
    "metrics": None,
    "training": False,
    "only_suspects": (),
    "lookup_by_domain": False,
    "greylist_recipients": (),
    "never_trust_clients": (),
    "whitelist_senders": (),
    "whitelist_unverified_senders": (),
    "pidfile": None,
    "inet": (),
    "unix": (),
    "socketmode": 0o666,
    "listen_queue_size": None,
    "daemonize": False,
    "syslog_facility": "mail",
    "log_format": "text",
    "quiet": False,
    "verbose": False,
}
# What depends on the host, on who starts the server, or on where the package comes from.
DEPENDING = {"hostname", "user", "group", "dbdir", "whitelist_clients", "whitelist_recipients"}


@pytest.mark.parametrize("name", DEFAULTS_OF_137)
def test_defaults_are_those_of_137(name: str) -> None:
    assert getattr(Settings(), name) == DEFAULTS_OF_137[name]


def test_every_default_is_looked_at() -> None:
    assert {field.name for field in fields(Settings)} == set(DEFAULTS_OF_137) | DEPENDING


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(FrozenInstanceError):
        settings.delay = 1  # type: ignore[misc]


def test_paths_of_upstream() -> None:
    assert UPSTREAM_PATHS.dbdir == "/var/spool/postfix/postgrey"
    assert UPSTREAM_PATHS.whitelists() == (
        ("/etc/postfix/postgrey_whitelist_clients", "/etc/postfix/postgrey_whitelist_clients.local"),
        ("/etc/postfix/postgrey_whitelist_recipients", "/etc/postfix/postgrey_whitelist_recipients.local"),
    )
    assert (UPSTREAM_PATHS.user, UPSTREAM_PATHS.group) == ("postgrey", "nogroup")


def test_paths_of_debian() -> None:
    assert DEBIAN_PATHS.dbdir == "/var/lib/postgrey"
    assert DEBIAN_PATHS.whitelists() == (
        ("/etc/postgrey/whitelist_clients", "/etc/postgrey/whitelist_clients.local"),
        ("/etc/postgrey/whitelist_recipients", "/etc/postgrey/whitelist_recipients.local"),
    )
    assert (DEBIAN_PATHS.user, DEBIAN_PATHS.group) == ("postgrey", "postgrey")


def test_paths_of_epel() -> None:
    assert EPEL_PATHS.dbdir == "/var/spool/postfix/postgrey"
    assert EPEL_PATHS.whitelists() == UPSTREAM_PATHS.whitelists()
    assert (EPEL_PATHS.user, EPEL_PATHS.group) == ("postgrey", "postgrey")


def test_one_switch_decides_whose_paths_are_the_defaults() -> None:
    settings = Settings()
    assert PATHS in (UPSTREAM_PATHS, DEBIAN_PATHS, EPEL_PATHS)
    assert settings.dbdir == PATHS.dbdir
    assert (settings.whitelist_clients, settings.whitelist_recipients) == PATHS.whitelists()


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        (Settings(dbdir="/db"), "/db/postgrey.control"),
        (Settings(dbdir="/db", control="/run/c"), "/run/c"),
        (Settings(dbdir="/db", control="none"), None),
    ],
)
def test_control_socket_is_in_dbdir_unless_it_is_elsewhere(settings: Settings, path: str | None) -> None:
    assert settings.control_path() == path


def test_control_socket_of_a_distribution_is_that_of_its_dbdir(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postgrey_py.greylist.settings.PATHS", DEBIAN_PATHS)
    assert Settings(dbdir=DEBIAN_PATHS.dbdir).control_path() == "/run/postgrey/control"
    assert Settings(dbdir="/db").control_path() == "/db/postgrey.control"


def test_network_of_a_client_is_as_large_as_the_options_say() -> None:
    settings = Settings(ipv4cidr=20, ipv6cidr=56)
    assert (settings.network_bits(32), settings.network_bits(128)) == (20, 56)
