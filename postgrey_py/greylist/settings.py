# SPDX-License-Identifier: GPL-2.0-or-later
"""Every option of the server and its default, in one place.

The command line (`daemon.options`) makes one `Settings` at start; it never changes afterwards. Texts are held as
Latin-1 strings, one character for each byte that the administrator typed.
"""

from __future__ import annotations

from dataclasses import dataclass

from postgrey_py.greylist.address import IPV4_BITS

SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 24 * SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Paths:
    """The places of Postgrey's files on a system, and the user that it runs as."""

    dbdir: str
    whitelist_clients: str
    whitelist_recipients: str
    user: str
    group: str
    # The control socket of a server with this dbdir; None for one in dbdir.
    control: str | None = None

    def whitelists(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The client and the recipient whitelists that are read by default, each with its `.local` companion."""
        clients, recipients = self.whitelist_clients, self.whitelist_recipients
        return (clients, clients + ".local"), (recipients, recipients + ".local")


UPSTREAM_PATHS = Paths(
    dbdir="/var/spool/postfix/postgrey",
    whitelist_clients="/etc/postfix/postgrey_whitelist_clients",
    whitelist_recipients="/etc/postfix/postgrey_whitelist_recipients",
    user="postgrey",
    group="nogroup",
)
DEBIAN_PATHS = Paths(
    dbdir="/var/lib/postgrey",
    whitelist_clients="/etc/postgrey/whitelist_clients",
    whitelist_recipients="/etc/postgrey/whitelist_recipients",
    user="postgrey",
    group="postgrey",
    control="/run/postgrey/control",
)
# Of the package in EPEL and Fedora.
EPEL_PATHS = Paths(
    dbdir="/var/spool/postfix/postgrey",
    whitelist_clients="/etc/postfix/postgrey_whitelist_clients",
    whitelist_recipients="/etc/postfix/postgrey_whitelist_recipients",
    user="postgrey",
    group="postgrey",
)

# The one switch for packagers: which of these the commands take as their defaults.
PATHS = UPSTREAM_PATHS

# The control socket where it is in dbdir; the value of --control for none.
CONTROL_NAME = "postgrey.control"
NO_CONTROL = "none"

# The values of --log-format.
TEXT, JSON = "text", "json"


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of the server, checked. Times are in seconds."""

    # What is greylisted, and for how long.
    delay: int = 300
    max_age: int = 35 * SECONDS_PER_DAY
    retry_window: int = 2 * SECONDS_PER_DAY
    auto_whitelist_clients: int = 5
    lookup_by_host: bool = False
    lookup_by_domain: bool = False
    ipv4cidr: int = 24
    ipv6cidr: int = 64
    privacy: bool = False
    training: bool = False
    # What makes a client a suspect; empty where everybody is greylisted.
    only_suspects: tuple[str, ...] = ()
    # Files of lists that there are only if an option names them.
    greylist_recipients: tuple[str, ...] = ()
    never_trust_clients: tuple[str, ...] = ()
    whitelist_senders: tuple[str, ...] = ()
    whitelist_unverified_senders: tuple[str, ...] = ()

    # What the mail server is told.
    greylist_action: str = "DEFER_IF_PERMIT"
    greylist_text: str = "Greylisted, see http://postgrey.schweikert.ch/help/%r.html"
    x_greylist_header: str = "X-Greylist: delayed %t seconds by postgrey-%v at %h; %d"
    hostname: str = "localhost"
    exim: bool = False
    ignore_test_time: bool = False

    # Files.
    dbdir: str = PATHS.dbdir
    whitelist_clients: tuple[str, ...] = PATHS.whitelists()[0]
    whitelist_recipients: tuple[str, ...] = PATHS.whitelists()[1]
    pidfile: str | None = None
    # A path, or "none"; None for the default: `control_path` has what that means.
    control: str | None = None

    # The process. `user` and `group` stay None where the server runs as whoever started it.
    inet: tuple[str, ...] = ()
    unix: tuple[str, ...] = ()
    socketmode: int = 0o666
    listen_queue_size: int | None = None
    # Where the page and the metrics are, as [HOST:]PORT; None for nowhere.
    metrics: str | None = None
    user: str | None = None
    group: str | None = None
    daemonize: bool = False
    syslog_facility: str = "mail"
    # TEXT, the lines of 1.37, or JSON.
    log_format: str = TEXT
    quiet: bool = False
    verbose: bool = False

    def network_bits(self, address_bits: int) -> int:
        """Return how many bits a network has, by which clients with addresses of so many bits are known."""
        return self.ipv4cidr if address_bits == IPV4_BITS else self.ipv6cidr

    def control_path(self) -> str | None:
        """Return where the control socket is; None where there is to be none."""
        if self.control == NO_CONTROL:
            return None
        if self.control is None and PATHS.control is not None and self.dbdir == PATHS.dbdir:
            return PATHS.control
        return self.control or f"{self.dbdir}/{CONTROL_NAME}"
