# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from postgrey_py import __version__
from postgrey_py.daemon.main import main
from postgrey_py.daemon.option_values import split_listener
from postgrey_py.daemon.options import CommandLine, make_parser, parse_command_line
from postgrey_py.daemon.startup_files import STARTUP_FILES
from postgrey_py.errors import UsageError
from postgrey_py.greylist.settings import PATHS, SECONDS_PER_DAY, SECONDS_PER_HOUR, Settings
from tests.support.servers import PERL_POSTGREY, POSTGREY

untimed = hypothesis_settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

LISTENER = "--inet=10023"


@pytest.fixture(autouse=True)
def _started_by_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults depend on who starts the server: let it be the same everywhere."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def parse(*arguments: str) -> Settings:
    """The settings for these arguments and a listener."""
    command_line = parse_command_line([LISTENER, *arguments])
    assert command_line.action == "serve"
    return command_line.settings


def changes(settings: Settings) -> dict[str, object]:
    """What in these settings is not as it is without options."""
    defaults = parse()
    pairs = ((f.name, getattr(settings, f.name), getattr(defaults, f.name)) for f in fields(Settings))
    return {name: value for name, value, default in pairs if value != default}


# Defaults.


def test_without_options_all_is_as_settings_have_it() -> None:
    expected = replace(Settings(), inet=("10023",), hostname=socket.gethostname(), user=PATHS.user, group=PATHS.group)
    assert parse() == expected


def test_an_ordinary_user_runs_it_as_that_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert changes(parse()) == {}
    assert (parse().user, parse().group) == (None, None)
    assert (parse("--user=mail").user, parse("--group=mail").group) == ("mail", "mail")


def test_a_listener_is_needed() -> None:
    for arguments in ([], ["-v"], [""]):
        with pytest.raises(UsageError, match=r"^--unix or --inet must be given$"):
            parse_command_line(arguments)
    assert parse_command_line(["--unix=/run/postgrey"]).settings.unix == ("/run/postgrey",)


def test_test_times_may_be_ignored() -> None:
    assert parse("--ignore-test-time").ignore_test_time


def test_metrics() -> None:
    assert parse("--metrics=9115").metrics == "9115"
    assert parse("--metrics=[::1]:9115").metrics == "[::1]:9115"
    assert parse().metrics is None


@pytest.mark.parametrize("value", ["", "x", "70000", "host:", "1:2:99999"])
def test_metrics_need_a_port(value: str) -> None:
    with pytest.raises(UsageError, match=r"--metrics: .* is not \[HOST:\]PORT"):
        parse(f"--metrics={value}")


def test_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postgrey_py.daemon.option_values.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"aiohttp and prometheus-client: pip install 'postgrey-py\[web\]'"):
        parse("--metrics=9115")


def test_training() -> None:
    assert parse("--training").training


def test_domains_are_looked_up_beside_networks_or_hosts() -> None:
    assert changes(parse("--lookup-by-domain")) == {"lookup_by_domain": True}
    assert changes(parse("--lookup-by-domain", "--lookup-by-host")) == {
        "lookup_by_domain": True,
        "lookup_by_host": True,
    }


def test_suspects_are_those_of_the_usual_suspicions_or_of_some() -> None:
    for arguments in (["--only-suspects"], ["--only-suspects="], ["--only-suspects", "--verbose"]):
        assert parse(*arguments).only_suspects == ("no-name", "generic-name", "helo")
    assert parse("--only-suspects=helo, null-sender,helo").only_suspects == ("helo", "null-sender")
    assert parse("--only-suspects", "no-name").only_suspects == ("no-name",)
    assert parse().only_suspects == ()


def test_control_socket_may_be_elsewhere_or_nowhere() -> None:
    assert parse("--control=/run/../c").control == "/c"
    assert parse("--control=none").control == "none"


def test_a_listener_may_be_there_already() -> None:
    settings = parse_command_line(["-v"], has_listener=True).settings
    assert (settings.verbose, settings.inet, settings.unix) == (True, (), ())


# Every option in every spelling, and what it sets.

FLAGS = {
    "daemonize": ("daemonize", True),
    "d": ("daemonize", True),
    "exim": ("exim", True),
    "lookup-by-host": ("lookup_by_host", True),
    "privacy": ("privacy", True),
    "quiet": ("quiet", True),
    "q": ("quiet", True),
    "verbose": ("verbose", True),
    "v": ("verbose", True),
}
VALUES: dict[str, list[tuple[str, str, object]]] = {
    "auto-whitelist-clients": [
        ("7", "auto_whitelist_clients", 7),
        ("0", "auto_whitelist_clients", 0),
        ("+7", "auto_whitelist_clients", 7),
        ("1000000000", "auto_whitelist_clients", 10**9),
    ],
    "dbdir": [("/var/db", "dbdir", "/var/db"), ("/var/../db/", "dbdir", "/db")],
    "delay": [("60", "delay", 60), ("1", "delay", 1), ("007", "delay", 7), ("172800", "delay", 172800)],
    "greylist-action": [("DEFER", "greylist_action", "DEFER"), ("-x", "greylist_action", "-x")],
    "greylist-text": [
        ("come back", "greylist_text", "come back"),
        ("a=b", "greylist_text", "a=b"),
        ("--verbose", "greylist_text", "--verbose"),
        ("-", "greylist_text", "-"),
        (" ", "greylist_text", " "),
        ("%s %r {x}", "greylist_text", "%s %r {x}"),
        # A character for each byte that was typed.
        ("\N{LATIN SMALL LETTER E WITH ACUTE}", "greylist_text", "\xc3\xa9"),
        ("\N{EURO SIGN}", "greylist_text", "\xe2\x82\xac"),
        (os.fsdecode(b"\xe9"), "greylist_text", "\xe9"),
    ],
    "greylist-recipients": [("/etc/list", "greylist_recipients", ("/etc/list",))],
    "never-trust-clients": [("/etc/list", "never_trust_clients", ("/etc/list",))],
    "group": [("mail", "group", "mail"), ("8", "group", "8")],
    "hostname": [("mx.example.org", "hostname", "mx.example.org"), ("m\xfc", "hostname", "m\xc3\xbc")],
    "ipv4cidr": [("16", "ipv4cidr", 16), ("1", "ipv4cidr", 1), ("32", "ipv4cidr", 32)],
    "ipv6cidr": [("48", "ipv6cidr", 48), ("1", "ipv6cidr", 1), ("128", "ipv6cidr", 128)],
    "listen-queue-size": [
        ("20", "listen_queue_size", 20),
        ("999", "listen_queue_size", 999),
        ("1000", "listen_queue_size", 999),
        ("5000", "listen_queue_size", 999),
    ],
    "max-age": [("1", "max_age", SECONDS_PER_DAY), ("36500", "max_age", 36500 * SECONDS_PER_DAY)],
    "pidfile": [("/run/postgrey.pid", "pidfile", "/run/postgrey.pid")],
    "retry-window": [
        ("1", "retry_window", SECONDS_PER_DAY),
        ("14", "retry_window", 14 * SECONDS_PER_DAY),
        ("6h", "retry_window", 6 * SECONDS_PER_HOUR),
        ("6H", "retry_window", 6 * SECONDS_PER_HOUR),
        ("36h", "retry_window", 36 * SECONDS_PER_HOUR),
    ],
    "socketmode": [
        ("0600", "socketmode", 0o600),
        ("600", "socketmode", 0o600),
        ("7", "socketmode", 0o7),
        ("1777", "socketmode", 0o1777),
    ],
    "log-format": [("json", "log_format", "json")],
    "syslogfacility": [("local0", "syslog_facility", "local0")],
    "syslog-facility": [("local0", "syslog_facility", "local0")],
    "facility": [("local0", "syslog_facility", "local0")],
    "unix": [("/run/postgrey", "unix", ("/run/postgrey",))],
    "u": [("/run/postgrey", "unix", ("/run/postgrey",))],
    "user": [("mail", "user", "mail"), ("8", "user", "8")],
    "whitelist-clients": [("/etc/list", "whitelist_clients", ("/etc/list",))],
    "whitelist-recipients": [("/etc/list", "whitelist_recipients", ("/etc/list",))],
    "whitelist-senders": [("/etc/list", "whitelist_senders", ("/etc/list",))],
    "whitelist-unverified-senders": [("/etc/list", "whitelist_unverified_senders", ("/etc/list",))],
    "x-greylist-header": [("X-Own: %t", "x_greylist_header", "X-Own: %t"), ("---", "x_greylist_header", "---")],
}
LISTENERS = ("inet", "i")
ACTIONS = {"help": "help", "h": "help", "man": "man", "version": "version"}
OTHERS = {
    *(
        "lookup-by-domain",
        "only-suspects",
        "check",
        "control",
        "ignore-test-time",
        "metrics",
        "print-startup-file",
        "lookup-by-subnet",
        "noaction",
        "no-action",
        "n",
    ),
    "training",
}


def test_every_spelling_is_looked_at() -> None:
    spellings = {s.lstrip("-") for action in make_parser().options for s in action.option_strings}
    assert spellings == {*FLAGS, *VALUES, *LISTENERS, *ACTIONS, *OTHERS}


def dashed(name: str) -> list[str]:
    """Each way to write this name: one dash is as good as two."""
    return [f"-{name}", f"--{name}"]


@pytest.mark.parametrize("name", FLAGS)
def test_flags(name: str) -> None:
    field, value = FLAGS[name]
    for option in dashed(name):
        assert changes(parse(option)) == changes(parse(option, option)) == {field: value}


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    for text, field, value in VALUES[name]:
        for option in dashed(name):
            assert changes(parse(f"{option}={text}")) == changes(parse(option, text)) == {field: value}, (option, text)


def test_the_last_of_several_values_counts() -> None:
    assert changes(parse("--delay=1", "--delay", "2")) == {"delay": 2}
    assert changes(parse("--facility=local0", "--syslogfacility=local1")) == {"syslog_facility": "local1"}


@pytest.mark.parametrize("name", ["whitelist-clients", "whitelist-recipients"])
def test_whitelists_may_be_several_and_replace_the_default(name: str) -> None:
    settings = parse(f"--{name}=/etc/one", f"--{name}", "/etc/two", f"-{name}=/etc/one")
    assert changes(settings) == {name.replace("-", "_"): ("/etc/one", "/etc/two", "/etc/one")}


def test_lookup_by_subnet_is_what_is_done_anyway() -> None:
    for option in dashed("lookup-by-subnet"):
        assert changes(parse(option)) == {}
        assert changes(parse(option, "--lookup-by-host")) == {"lookup_by_host": True}


def test_paths_become_absolute() -> None:
    here = os.getcwd()
    settings = parse(
        "--dbdir=db", "--pidfile=../pid", "--unix=s", "--whitelist-clients=c", "--whitelist-recipients=./r"
    )
    assert changes(settings) == {
        "dbdir": f"{here}/db",
        "pidfile": os.path.join(os.path.dirname(here), "pid"),
        "unix": (f"{here}/s",),
        "whitelist_clients": (f"{here}/c",),
        "whitelist_recipients": (f"{here}/r",),
    }


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        (["--auto-whitelist-clients"], 5),
        (["-auto-whitelist-clients"], 5),
        (["--auto-whitelist-clients="], 5),
        (["--auto-whitelist-clients", ""], 5),
        (["--auto-whitelist-clients=3"], 3),
        (["--auto-whitelist-clients", "3"], 3),
        (["--auto-whitelist-clients=0"], 0),
        (["--auto-whitelist-clients", "0"], 0),
        (["--auto-whitelist-clients=3", "--auto-whitelist-clients"], 5),
    ],
)
def test_the_value_of_auto_whitelist_clients_may_be_missing(arguments: list[str], number: int) -> None:
    assert parse(*arguments).auto_whitelist_clients == number
    # The option behind it is none of its value.
    assert changes(replace(parse(*arguments, "-v"), auto_whitelist_clients=5)) == {"verbose": True}


@pytest.mark.parametrize("name", ["greylist-action", "greylist-text", "hostname", "x-greylist-header"])
def test_an_empty_text_means_the_default(name: str) -> None:
    assert changes(parse(f"--{name}", "")) == changes(parse(f"--{name}=")) == {}


@pytest.mark.parametrize(("name", "text"), [("listen-queue-size", "0"), ("socketmode", "0"), ("socketmode", "0000")])
def test_nothing_means_the_default(name: str, text: str) -> None:
    assert changes(parse(f"--{name}={text}")) == {}


# Listeners.


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10023", "localhost", "10023"),
        ("0", "localhost", "0"),
        ("65535", "localhost", "65535"),
        ("127.0.0.1:10023", "127.0.0.1", "10023"),
        ("localhost:10023", "localhost", "10023"),
        ("[::1]:10023", "::1", "10023"),
        ("::1:10023", "::1", "10023"),
        ("2001:db8::ab:10023", "2001:db8::ab", "10023"),
        ("*:10023", "*", "10023"),
        (":10023", "*", "10023"),
        ("[::]:10023", "::", "10023"),
        ("localhost:smtp", "localhost", "smtp"),
    ],
)
def test_listeners(text: str, host: str, port: str) -> None:
    assert split_listener(text) == (host, port)
    for name in LISTENERS:
        for option in dashed(name):
            for arguments in ([f"{option}={text}"], [option, text]):
                command_line = parse_command_line(arguments)
                assert (command_line.settings.inet, command_line.settings.unix) == ((text,), ())


@pytest.mark.parametrize(
    "text",
    ["", "localhost", ":", "localhost:", "[::1]:", "[::1]", "65536", "h:65536", "9" * 5000, "smtp", "\xb2"],
)
def test_what_is_no_listener(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        split_listener(text)


def test_there_may_be_several_listeners() -> None:
    arguments = ["--inet=10023", "-i", ":10024", "--unix=/run/a", "-u=/run/b"]
    settings = parse_command_line(arguments).settings
    assert (settings.inet, settings.unix) == (("10023", ":10024"), ("/run/a", "/run/b"))


# What is not to be done as given.


@pytest.mark.parametrize("option", ["--delay", "--max-age", "--ipv4cidr", "--ipv6cidr"])
def test_zero_means_the_default_and_is_told(option: str) -> None:
    for zero in ("0", "00", "+0"):
        settings, warnings = parse_command_line([LISTENER, f"{option}={zero}"])[1:]
        assert warnings == (f"{option}=0 means the default here",)
        assert changes(settings) == {}


def test_each_zero_is_told() -> None:
    warnings = parse_command_line([LISTENER, "--ipv4cidr=0", "--delay=0"]).warnings
    assert warnings == ("--delay=0 means the default here", "--ipv4cidr=0 means the default here")


@pytest.mark.parametrize(
    ("arguments", "window", "delay"),
    [
        (["--retry-window=1h", "--delay=3601"], 3600, 3601),
        (["--retry-window=0"], 0, 300),
        (["--retry-window=0h"], 0, 300),
        (["--delay=172801"], 172800, 172801),
        (["--delay=0", "--retry-window=0"], 0, 300),
    ],
)
def test_a_retry_window_shorter_than_the_delay_is_told(arguments: list[str], window: int, delay: int) -> None:
    action, settings, warnings = parse_command_line([LISTENER, *arguments])
    assert (action, settings.retry_window, settings.delay) == ("serve", window, delay)
    assert warnings[-1] == (
        f"no mail can ever pass: the retry window ({window} seconds) is over before the delay ({delay} seconds) is"
    )


def test_a_retry_window_as_long_as_the_delay_will_do() -> None:
    assert changes(parse("--retry-window=1h", "--delay=3600")) == {"retry_window": 3600, "delay": 3600}


def test_empty_arguments_do_not_count() -> None:
    assert changes(parse("", "--delay=60", "", "-v", "")) == {"delay": 60, "verbose": True}


def test_two_dashes_may_end_the_options() -> None:
    assert changes(parse("-v", "--")) == {"verbose": True}


@pytest.mark.parametrize("name", ACTIONS)
def test_what_is_done_instead_of_serving(name: str) -> None:
    for option in dashed(name):
        # No listener is needed for it.
        assert parse_command_line([option]) == CommandLine(ACTIONS[name], Settings(), ())
        assert parse_command_line(["-v", LISTENER, option]).action == ACTIONS[name]


def test_a_check_is_about_the_other_options_and_needs_no_listener() -> None:
    command_line = parse_command_line(["--check", "--delay=0"])
    assert (command_line.action, command_line.settings.inet) == ("check", ())
    assert command_line.warnings == ("--delay=0 means the default here",)
    assert parse_command_line([LISTENER, "-check"]).settings == parse()
    with pytest.raises(UsageError):
        parse_command_line(["--check", "--delay=x"])


@pytest.mark.parametrize("kind", STARTUP_FILES)
def test_a_startup_file_is_printed_without_a_listener(kind: str) -> None:
    assert parse_command_line([f"--print-startup-file={kind}"]) == CommandLine(kind, Settings(), ())
    with pytest.raises(UsageError, match="print-startup-file"):
        parse_command_line(["--print-startup-file=other"])


# Errors.

ERRORS: list[tuple[list[str], str]] = [
    *(
        ([f"--{name}={value}"], f"--{name}: '{value}' is not a whole number from 0 to {most}")
        for name, most, values in (
            ("delay", 31536000, ("", "-1", "1.5", "5x", " 5", "5 ", "1_0", "0x10", "1e3", "\xb2", "31536001")),
            ("ipv4cidr", 32, ("33", "-1", "24/8")),
            ("ipv6cidr", 128, ("129", "-1", "9" * 5000)),
            ("listen-queue-size", 10**9, ("-1", "many")),
        )
        for value in values
    ),
    *(
        ([f"--max-age={value}"], f"--max-age: '{value}' is not a whole number of days from 0 to 36500")
        for value in ("-1", "36501", "35d", "")
    ),
    *(
        (
            [f"--retry-window={value}"],
            f"--retry-window: '{value}' is neither a number of days nor, with an h, of hours ('6h')",
        )
        for value in ("", "h", "-1", "+1", "6 h", "6hh", "2d", "1.5", "36501", "36501h", "9" * 5000, "\xb2")
    ),
    *(
        (
            [f"--auto-whitelist-clients={value}"],
            f"--auto-whitelist-clients: '{value}' is not a whole number of mails from 0 to 1000000000",
        )
        for value in ("-1", "five", "1000000001", " ", "5.0")
    ),
    (["--auto-whitelist-clients", "five"], "--auto-whitelist-clients: 'five' is not"),
    *(
        ([f"--socketmode={value}"], f"--socketmode: '{value}' is not an octal mode such as 0666")
        for value in ("0888", "rw-rw-rw-", "00666", "0x1b6", "-1", "0o666")
    ),
    *(([f"--{name}="], f"--{name}: the path is empty") for name in ("dbdir", "pidfile", "whitelist-clients")),
    (["--log-format=xml"], "--log-format: invalid choice: 'xml' (choose from"),
    (["--only-suspects=looks"], "--only-suspects: 'looks' is none of no-name, generic-name, helo, null-sender"),
    (["--control="], "--control: the path is empty"),
    (["--unix="], "--unix/-u: the path is empty"),
    *(
        ([f"--{name}=a{end}b"], f"--{name}: 'a{shown}b' has a line break, which would end the answer")
        for name in ("greylist-action", "greylist-text", "hostname", "x-greylist-header")
        for end, shown in (("\n", "\\n"), ("\r", "\\r"))
    ),
    *(
        ([f"--inet={value}"], f"--inet/-i: '{value}' is not [HOST:]PORT")
        for value in ("", "localhost", "65536", "h:65536", "[::1]", "\xb2")
    ),
    # Names.
    (["--nonsense"], "--nonsense: no such option"),
    (["-nonsense=5"], "-nonsense=5: no such option"),
    (["--verb"], "--verb: no such option"),
    (["--auto", "5"], "--auto: no such option"),
    (["--DELAY=5"], "--DELAY=5: no such option"),
    (["-V"], "-V: no such option"),
    (["-vd"], "-vd: no such option"),
    (["-i10023"], "-i10023: no such option"),
    (["---delay=5"], "---delay=5: no such option"),
    (["--no-verbose"], "--no-verbose: no such option"),
    (["--stray=x"], "--stray=x: no such option"),
    (["--=5"], "--=5: no such option"),
    (["-=5"], "-=5: no such option"),
    # Values that are missing, or too many.
    *(([f"--{name}"], f"--{name}: this option needs a value") for name in VALUES if name != "auto-whitelist-clients"),
    (["-i"], "-i: this option needs a value"),
    *(([f"--{name}=1"], f"--{name}=1: this option takes no value") for name in FLAGS),
    (["-v="], "-v=: this option takes no value"),
    # A value that argparse would lose.
    (["--dbdir", "--"], "--dbdir: '--' is not a value"),
    (["-u", "--"], "--unix: '--' is not a value"),
    (["--greylist-text=--"], "--greylist-text: '--' is not a value"),
    (["--auto-whitelist-clients=--"], "--auto-whitelist-clients: '--' is not a value"),
    # What is no option.
    *((["-v", stray], f"postgrey: {stray}: options only, please; is there a quote missing?") for stray in "x-5 "),
    (["--greylist-text=Come", "back"], "back: options only, please; is there a quote missing?"),
    (["stray", "-v"], "stray: options only, please; is there a quote missing?"),
    (["--", "stray"], "stray: options only, please; is there a quote missing?"),
    (["--", "-v"], "-v: options only, please; is there a quote missing?"),
    (["--auto-whitelist-clients", "5", "6"], "6: options only, please; is there a quote missing?"),
    *(([name], "--noaction: there is nothing that postgrey could do") for name in ("--noaction", "--no-action", "-n")),
    (["--syslog-facility=nonsense"], "--syslog-facility=nonsense: no such facility; one of auth, "),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), ERRORS, ids=lambda value: str(value)[:50])
def test_a_wrong_command_line_gets_one_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nothing is served here, even if the arguments were taken.
    assert main([LISTENER, "--user=no-such-user", *arguments]) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith("postgrey: ")
    assert message in errors
    assert errors.endswith("; see postgrey --help\n")
    assert errors.count("\n") == 1


def test_a_command_line_without_listener_gets_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr() == ("", "postgrey: --unix or --inet must be given; see postgrey --help\n")


def test_an_error_comes_before_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help", "--nonsense"]) == 2
    assert capsys.readouterr().out == ""


arguments = st.lists(
    st.sampled_from([s for action in make_parser().options for s in action.option_strings])
    | st.sampled_from(["", "-", "--", "5", "x", "=", "--=", "-v=", "--delay=1", "--greylist-text=--", "--unix=--"])
    | st.text(max_size=6),
    max_size=5,
)


@untimed
@given(arguments)
def test_any_arguments_are_settings_or_an_error_of_one_line(arguments: list[str]) -> None:
    try:
        settings = parse_command_line(arguments).settings
    except UsageError as error:
        message = str(error)
    else:
        types = {f.name: type(getattr(parse(), f.name)) for f in fields(Settings)}
        for name in ("delay", "greylist_text", "hostname", "dbdir", "inet", "unix", "syslog_facility", "quiet"):
            assert isinstance(getattr(settings, name), types[name]), name
        return
    assert message


# Help and version.


def test_help_lists_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert output.startswith("usage: postgrey (--inet=[HOST:]PORT | --unix=PATH) [option ...]\n")
    shown = {*FLAGS, *VALUES, *LISTENERS, "help", "h", "man", "version", "lookup-by-subnet"}
    assert {name for name in shown if f" -{name}" not in output and f" --{name}" not in output} == set()
    assert "noaction" not in output
    assert "%s: seconds left, %r: domain" in output
    assert max(len(line) for line in output.splitlines()) <= 120


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"postgrey {__version__}\n", "")


def test_the_command_exits_with_these_statuses() -> None:
    for arguments, status in (["--version"], 0), (["--nonsense"], 2), ([], 2):
        command = subprocess.run([*POSTGREY, *arguments], capture_output=True, text=True, check=False)
        assert command.returncode == status
        assert "Traceback" not in command.stderr
        assert (command.stdout == "") == (status == 2)


# The grammar beside that of 1.37.

# Reads the list of options out of the program, and says for each command line what Getopt::Long makes of it.
ASK_PERL = r"""
use strict; use warnings; use JSON::PP; use Getopt::Long 2.25 qw(:config posix_default no_ignore_case);
open(my $program, '<', shift @ARGV) or die; local $/;
my ($list) = <$program> =~ /GetOptions\(\\%opt,(.*?)\) or/s or die;
my @names = $list =~ /'([^']+)'/g;
my @answers;
for my $line (@{decode_json(<STDIN>)}) {
    local $SIG{__WARN__} = sub { };
    my %given; my @rest = @$line;
    my $is_valid = Getopt::Long::GetOptionsFromArray(\@rest, \%given, @names);
    push @answers, {is_valid => $is_valid ? JSON::PP::true : JSON::PP::false, given => \%given, rest => \@rest};
}
print encode_json(\@answers);
"""


class Answer(NamedTuple):
    """What 1.37 makes of a command line."""

    is_valid: bool
    given: dict[str, Any]
    rest: list[str]


@cache
def ask_perl(command_lines: tuple[tuple[str, ...], ...]) -> list[Answer]:
    command = ["perl", "-e", ASK_PERL, *PERL_POSTGREY]
    answers = subprocess.run(command, input=json.dumps(command_lines).encode(), capture_output=True, check=True).stdout
    return [Answer(**answer) for answer in json.loads(answers)]


def ask_ours(command_line: Sequence[str]) -> Answer:
    """The same of ours."""
    try:
        given = {name: value for name, value in make_parser().parse(command_line).items() if value is not None}
    except UsageError:
        return Answer(False, {}, [])
    return Answer(True, given, given.pop("stray"))


# Our names of what 1.37 calls otherwise.
RENAMED = {"syslogfacility": "syslog_facility"}

ALIKE: tuple[tuple[str, ...], ...] = (
    (),
    *((f"--{name}",) for name in FLAGS),
    *((f"-{name}",) for name in (*FLAGS, *ACTIONS, "noaction", "no-action", "n", "lookup-by-subnet", "lookup-by-host")),
    *((f"--{name}", text) for name in ("delay", "listen-queue-size", "ipv4cidr") for text in ("7", "+7", "007")),
    *((f"--{name}=7",) for name in ("delay", "listen-queue-size", "ipv4cidr", "ipv6cidr")),
    *((f"{dash}{name}", "x") for dash in ("-", "--") for name in ("user", "group", "hostname", "facility")),
    *((f"--{name}=x",) for name in ("syslogfacility", "syslog-facility", "facility", "greylist-action")),
    *((f"--greylist-text={text}",) for text in ("a=b", "-x", "--verbose", " ", "-")),
    *(("--greylist-text", text) for text in ("a=b", "-x", "--verbose", " ", "-")),
    ("--auto-whitelist-clients",),
    ("--auto-whitelist-clients=3",),
    ("--auto-whitelist-clients", "3"),
    ("--auto-whitelist-clients", "-v"),
    ("--auto-whitelist-clients", "3", "-v"),
    ("--inet=10023", "-v", "--unix=/run/x"),
    ("--whitelist-clients=/a", "--whitelist-clients", "/b", "--whitelist-recipients=/c"),
    ("-i", "10023", "-u", "/run/x", "-d", "-v", "-q"),
    ("--delay=1", "--delay", "2"),
    ("-v", "-v", "--verbose"),
    # Refused by both.
    *((f"--{name}",) for name in VALUES if name != "auto-whitelist-clients"),
    *((f"--delay={text}",) for text in ("", "x", "5x", " 5", "0x10", "1.5", "--verbose")),
    *((f"--{name}=1",) for name in FLAGS),
    *(("--auto",), ("--verb",), ("--QUIET",), ("-V",), ("-vd",), ("-i10023",), ("---delay=5",), ("--no-quiet",)),
    *(("--nonsense",), ("--=5",), ("--quiet=",), ("-n=1",)),
    # Left over.
    *(("stray",), ("-v", "stray"), ("-", ), ("-v", "5")),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(ALIKE)), ids=lambda number: " ".join(ALIKE[number]) or "nothing")
def test_the_grammar_is_that_of_137(number: int) -> None:
    theirs, ours = ask_perl(ALIKE)[number], ask_ours(ALIKE[number])
    assert (ours.is_valid, ours.rest) == (theirs.is_valid, theirs.rest)
    if theirs.is_valid:
        expected = {RENAMED.get(name, name.replace("-", "_")): value for name, value in theirs.given.items()}
        assert ours.given.keys() == expected.keys()
        for name, value in ours.given.items():
            given = expected[name]
            if name in ("inet", "unix"):
                assert value == [given]
            elif name == "auto_whitelist_clients":
                assert value == int(given or 5)
            else:
                assert value == given


# 1.37 stops at the first argument that is no option, without a word; it takes `=` behind two dashes only, and a
# negative number for a number. An empty value behind `=` it refuses, one of its own argument it takes.
DIFFERENT: tuple[tuple[tuple[str, ...], bool, bool], ...] = (
    (("", "-v"), True, True),
    (("-inet=10023",), False, True),
    (("-delay=60",), False, True),
    (("--delay=-5",), True, False),
    (("--delay=1_0",), True, False),
    (("--greylist-text=",), False, True),
    (("--greylist-text", "--"), True, False),
)


@pytest.mark.parametrize("number", range(len(DIFFERENT)), ids=lambda number: " ".join(DIFFERENT[number][0]))
def test_where_the_grammar_is_not_that_of_137(number: int) -> None:
    command_line, theirs, ours = DIFFERENT[number]
    assert ask_perl(tuple(line for line, _, _ in DIFFERENT))[number].is_valid == theirs
    assert ask_ours(command_line).is_valid == ours


def test_an_empty_argument_ends_the_options_of_137_only() -> None:
    (theirs,) = ask_perl((("", "-v"),))
    assert theirs.given == {}
    assert ask_ours(("", "-v")).given == {"verbose": True}
