# SPDX-License-Identifier: GPL-2.0-or-later
"""The options of the server: where they are looked for, and what is made of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.commands import server_options
from postgrey_py.commands.server_arguments import READ_FIELDS, ServerFields, read_options
from postgrey_py.commands.server_options import Places, ServerOptions, find_server_options, settings_of
from postgrey_py.daemon.options import parse_command_line
from postgrey_py.greylist.settings import PATHS, SECONDS_PER_DAY, SECONDS_PER_HOUR, Settings
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], {}),
        (["--inet=10023", "-d", "--pidfile=/run/p.pid"], {}),
        (["--delay=10"], {"delay": 10}),
        (["--delay", "10", "--privacy"], {"delay": 10, "privacy": True}),
        (["-delay=10"], {"delay": 10}),
        (["--delay=10", "--delay=20"], {"delay": 20}),
        (["--inet", "--delay=10"], {"delay": 10}),
        (["--delay=0", "--ipv4cidr=0", "--ipv6cidr=0", "--max-age=0"], {}),
        (["--delay=10", "--delay=0"], {}),
        (["--max-age=30"], {"max_age": 30 * SECONDS_PER_DAY}),
        (["--retry-window=6h"], {"retry_window": 6 * SECONDS_PER_HOUR}),
        (["--retry-window=3"], {"retry_window": 3 * SECONDS_PER_DAY}),
        (["--lookup-by-host", "--ipv4cidr=28"], {"lookup_by_host": True, "ipv4cidr": 28}),
        (["--lookup-by-subnet"], {"lookup_by_host": False}),
        (["--auto-whitelist-clients"], {}),
        (["--auto-whitelist-clients", "3"], {"auto_whitelist_clients": 3}),
        (["--auto-whitelist-clients", "--privacy"], {"privacy": True}),
        (["--auto-whitelist-clients=0"], {"auto_whitelist_clients": 0}),
        (["--greylist-text=Wait %s s"], {"greylist_text": "Wait %s s"}),
        (["--greylist-text=sp\u00e4ter"], {"greylist_text": "sp\u00c3\u00a4ter"}),
        (["--greylist-text="], {}),
        (["--greylist-action=DEFER"], {"greylist_action": "DEFER"}),
        (
            ["--whitelist-clients=/a", "--whitelist-recipients=/r", "--whitelist-clients", "/b"],
            {"whitelist_clients": ("/a", "/b"), "whitelist_recipients": ("/r",)},
        ),
        (["--dbdir=/db"], {"dbdir": "/db"}),
    ],
)
def test_options_are_read_as_the_server_reads_them(words: list[str], values: Mapping[str, Any]) -> None:
    assert read_options(words) == (values, [])
    if words != ["--inet", "--delay=10"]:
        server = parse_command_line([*words, "--inet=1"]).settings
        ours = replace(Settings(), **values)
        fields = (*READ_FIELDS,)
        assert {name: getattr(ours, name) for name in fields} == {name: getattr(server, name) for name in fields}


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("--delay=soon", "--delay=soon is not understood"),
        ("--delay=-1", "--delay=-1 is not understood"),
        ("--ipv4cidr=33", "--ipv4cidr=33 is not understood"),
        ("--retry-window=2w", "--retry-window=2w is not understood"),
        ("--delay=99999999999999999999", "--delay=99999999999999999999 is not understood"),
        ("--dbdir=", "--dbdir= is not understood"),
        ("--delay", "--delay= is not understood"),
    ],
)
def test_values_that_are_wrong_are_told(word: str, problem: str) -> None:
    assert read_options([word, "--privacy"]) == ({"privacy": True}, [problem])


FILES = [
    # Debian's.
    ('POSTGREY_OPTS="--inet=10023 --delay=10"\n#POSTGREY_TEXT="x"\n', {"delay": 10}),
    ("POSTGREY_OPTS='--inet=10023'\nPOSTGREY_TEXT=\"Wait %s s\"\n", {"greylist_text": "Wait %s s"}),
    (
        "POSTGREY_OPTS=\"--inet=1 --greylist-text='Wait %s s' --privacy\"",
        {"greylist_text": "Wait %s s", "privacy": True},
    ),
    ('POSTGREY_OPTS="--inet=10023"\nPOSTGREY_OPTS="$POSTGREY_OPTS --delay=10"\n', {"delay": 10}),
    ('POSTGREY_OPTS="$POSTGREY_OPTS --delay=10"\n', {"delay": 10}),
    ('POSTGREY_OPTS="--inet=10023 \\\n  --delay=10 \\\n  --privacy"\n', {"delay": 10, "privacy": True}),
    ('DELAY=10\nexport POSTGREY_OPTS="--inet=10023 --delay=${DELAY}"\n', {"delay": 10}),
    ("POSTGREY_OPTS=--inet=10023 --delay=10\n", {"delay": 10}),
    ('#POSTGREY_OPTS="--delay=9"\nPOSTGREY_OPTS="--inet=10023 --delay=10" # not 9\n', {"delay": 10}),
    ('POSTGREY_OPTS="--pidfile=$PIDFILE --hostname=$(hostname -f) --delay=10"\n', {"delay": 10}),
    ('\ufeffX=1\r\nPOSTGREY_OPTS="--inet=10023 --delay=10"\r\n', {"delay": 10}),
    # EPEL's.
    (
        (
            'POSTGREY_TYPE="--unix=/s"\nPOSTGREY_PID="--pidfile=/p"\nPOSTGREY_GROUP="--group=g"\nPOSTGREY_USER="--user=u"\n'
            'POSTGREY_DELAY="--delay=60"\nPOSTGREY_OPTS="--privacy"\n'
        ),
        {"delay": 60, "privacy": True},
    ),
    ("POSTGREY_DELAY=60\nPOSTGREY_OPTS=\n", {"delay": 60}),
    ('POSTGREY_DELAY="--delay=60"\nPOSTGREY_OPTS="--delay=70"\n', {"delay": 70}),
    ('SOCKET=/s\nOPTIONS="--unix=$SOCKET --lookup-by-host"\n', {"lookup_by_host": True}),
]


@pytest.mark.parametrize(("text", "values"), FILES)
def test_files_of_start_up_scripts(text: str, values: Mapping[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "postgrey"
    path.write_text(text, newline="")
    assert find_server_options(None, Places(None, (path,))) == ServerOptions(values, str(path))


@pytest.mark.parametrize(
    ("text", "values", "problem"),
    [
        ('POSTGREY_OPTS="--inet=10023 $EXTRA --delay=10"', {"delay": 10}, "$EXTRA is not understood"),
        ('POSTGREY_OPTS="--delay=$DELAY --privacy"', {"privacy": True}, "--delay=$DELAY is not understood"),
        ('POSTGREY_OPTS="--delay=$(cat /d) --privacy"', {"privacy": True}, "--delay=$(cat /d) is not understood"),
        ('POSTGREY_OPTS="--delay=`cat /d` --privacy"', {"privacy": True}, "--delay=`cat /d` is not understood"),
        ('POSTGREY_TEXT="Come to $HOST"\nPOSTGREY_OPTS=--privacy', {"privacy": True}, "--greylist-text=Come to $HOST"),
        ('POSTGREY_OPTS="--delay=soon --privacy"', {"privacy": True}, "--delay=soon is not understood"),
        ('POSTGREY_DELAY=--delay=10\nPOSTGREY_OPTS="--privacy', {"delay": 10}, "POSTGREY_OPTS has an open quote"),
    ],
)
def test_what_is_not_understood_is_told(text: str, values: Mapping[str, Any], problem: str, tmp_path: Path) -> None:
    path = tmp_path / "postgrey"
    path.write_text(text)
    found = find_server_options(None, Places(None, (path,)))
    assert found.values == values
    (remark,) = found.remarks
    assert remark.startswith(f"{path}: ")
    assert problem in remark


@pytest.mark.parametrize("text", ["", "# nothing\n", "POSTGREY_OPTS=\n", "OTHER=1\n", "\0\xff\n", "POSTGREY_OPTS"])
def test_a_file_without_options_says_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(text.encode("latin-1"))
    (tmp_path / "other").write_text("POSTGREY_OPTS=--delay=10\n")
    places = Places(None, (tmp_path / "missing", tmp_path / "empty", tmp_path / "other"))
    assert find_server_options(None, places) == ServerOptions({"delay": 10}, str(tmp_path / "other"))
    assert find_server_options(None, Places(None, (tmp_path / "empty",))) == ServerOptions({})


def test_a_file_that_is_no_file_is_told(tmp_path: Path) -> None:
    (remark,) = find_server_options(None, Places(None, (tmp_path,))).remarks
    assert remark == f"can't read {tmp_path}, which has options of the server: Is a directory"


def test_relative_paths_of_a_process_count_from_where_it_was_started(tmp_path: Path) -> None:
    fake_process(tmp_path, 7, "postgrey --dbdir=db --whitelist-clients=list --inet=1")
    (tmp_path / "7" / "cwd").symlink_to("/somewhere")
    values = {"dbdir": "/somewhere/db", "whitelist_clients": ("/somewhere/list",)}
    assert find_server_options("/somewhere/db", Places(tmp_path, ())).values == values


def fake_process(processes: Path, number: int, *words: str) -> None:
    (processes / str(number)).mkdir(parents=True)
    (processes / str(number) / "cmdline").write_bytes(b"".join(os.fsencode(word) + b"\0" for word in words))


@pytest.mark.parametrize(
    "words",
    [
        # Titles, ours and Perl's, and command lines as they were typed.
        ["postgrey --inet=10023 --delay=10 --greylist-text=Wait %s s -d --dbdir=/db"],
        ["/usr/sbin/postgrey -d --dbdir=/db --greylist-text=Wait %s s --delay=10"],
        ["/usr/sbin/postgrey --dbdir /db --delay 10 --greylist-text Wait %s s"],
        ["/usr/bin/perl", "-T", "/usr/sbin/postgrey", "--dbdir=/db", "--greylist-text=Wait %s s", "--delay=10"],
        ["/usr/bin/python3.11", "/opt/bin/postgrey", "--delay", "10", "--dbdir=/db", "--greylist-text", "Wait %s s"],
        ["/opt/bin/postgrey", "--delay=10", "--dbdir=/db", "--greylist-text=Wait %s s"],
    ],
)
def test_running_servers_are_known_by_their_command_line(words: Sequence[str], tmp_path: Path) -> None:
    fake_process(tmp_path, 7, *words)
    fake_process(tmp_path, 8, "vi", "/etc/default/postgrey")
    fake_process(tmp_path, 9, "/usr/bin/python3", "/usr/bin/postgreyreport", "--delay=9", "postgrey")
    fake_process(tmp_path, 10, "grep postgrey --delay=11")
    fake_process(tmp_path, 11)
    (tmp_path / "12").mkdir()
    values = {"delay": 10, "greylist_text": "Wait %s s", "dbdir": "/db"}
    assert find_server_options("/db", Places(tmp_path, ())) == ServerOptions(values, "process 7")
    assert find_server_options(None, Places(tmp_path, ())) == ServerOptions(values, "process 7")
    assert find_server_options("/elsewhere", Places(tmp_path, ())) == ServerOptions({})


def test_a_running_server_comes_before_files(tmp_path: Path) -> None:
    fake_process(tmp_path / "proc", 7, "postgrey --inet=1 --delay=10")
    (tmp_path / "default").write_text("POSTGREY_OPTS='--delay=20 --privacy'\n")
    places = Places(tmp_path / "proc", (tmp_path / "default",))
    assert find_server_options(None, places).values == {"delay": 10}
    assert find_server_options(PATHS.dbdir, places).values == {"delay": 10}
    assert find_server_options("/copy", places).values == {"delay": 20, "privacy": True}


def test_of_several_servers_the_one_with_the_database_is_taken(tmp_path: Path) -> None:
    for number in (21, 3, 100):
        fake_process(tmp_path / "proc", number, f"postgrey --inet=1 --delay={number} --dbdir={tmp_path / str(number)}")
    (tmp_path / "link").symlink_to(tmp_path / "100")
    places = Places(tmp_path / "proc", ())
    found = find_server_options(None, places)
    assert found.values["delay"] == 3
    (remark,) = found.remarks
    assert remark.startswith("more than one server is running: the options are those of process 3, not of 21, 100")
    for name, delay in (("21", 21), ("link", 100), (".//21/", 21)):
        found = find_server_options(os.path.join(tmp_path, name), places)
        assert (found.values["delay"], found.remarks) == (delay, ())


@pytest.mark.parametrize("command", [POSTGREY, PERL_POSTGREY], ids=["ours", "Perl's"])
def test_a_real_server_is_found_by_its_title(command: tuple[str, ...], tmp_path: Path) -> None:
    options = ["--delay=7", "--greylist-text=Come back in %s seconds", "--privacy", "--retry-window=6h"]
    with PolicyServer(command, tmp_path / "db", options) as server:
        with PolicyClient(server.port) as client:
            client.ask()
        found = find_server_options(str(server.dbdir), Places(files=()))
    assert found.source is not None
    expected = Settings(
        delay=7, greylist_text="Come back in %s seconds", privacy=True, retry_window=6 * SECONDS_PER_HOUR
    )
    for name in ("delay", "greylist_text", "privacy", "retry_window"):
        assert found.values[name] == getattr(expected, name)
    assert found.values["dbdir"] == str(server.dbdir)
    assert find_server_options(str(server.dbdir), Places(files=())) == ServerOptions({})


def test_a_process_of_a_stranger_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_process(tmp_path, 7, f"postgrey --inet=1 --delay=10 --dbdir={tmp_path / 'db'}")
    (tmp_path / "db").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    places = Places(tmp_path, ())
    assert find_server_options(None, places).values["delay"] == 10
    os.chown(tmp_path / "7", 4_000_001, 4_000_001)
    assert find_server_options(None, places) == ServerOptions({})
    os.chown(tmp_path / "db", 4_000_001, 4_000_001)
    assert find_server_options(None, places).values["delay"] == 10


def test_the_command_line_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    default, other = tmp_path / "default", tmp_path / "other"
    default.write_text("POSTGREY_OPTS='--delay=20 --dbdir=/db --privacy'\n")
    other.write_text("POSTGREY_OPTS='--delay=30'\n")
    monkeypatch.setattr(server_options, "PLACES", Places(None, (default,)))
    wanted = ServerFields(dbdir=None, delay=None)
    assert settings_of("tool", wanted, None) == Settings(delay=20, dbdir="/db")
    assert settings_of("tool", ServerFields(dbdir=None, delay=5), None) == Settings(delay=5, dbdir="/db")
    assert settings_of("tool", ServerFields(dbdir="/x", delay=0), None) == Settings(delay=0, dbdir="/x")
    assert settings_of("tool", ServerFields(whitelist_clients=["/a", "/b"]), None).whitelist_clients == ("/a", "/b")
    assert settings_of("tool", wanted, str(other)) == Settings(delay=30)
    assert settings_of("tool", wanted, "none") == Settings()
    assert capsys.readouterr().err == ""
    settings_of("tool", wanted, None, is_verbose=True)
    settings_of("tool", wanted, "none", is_verbose=True)
    other.write_text("POSTGREY_OPTS='--dbdir=/€'\nPOSTGREY_TEXT=später")
    settings_of("tool", ServerFields(dbdir=None, greylist_text=None), str(other), is_verbose=True)
    assert capsys.readouterr().err.splitlines() == [
        f"tool: options of the server from {default}: dbdir=/db, delay=20",
        "tool: options of the server from nowhere: none",
        f"tool: options of the server from {other}: dbdir=/€, greylist-text=später",
    ]


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path = tmp_path / "postgrey"
    path.write_text(f'touch {tmp_path}/a\nPOSTGREY_OPTS="$(touch {tmp_path}/b) `touch {tmp_path}/c`"\n')
    assert find_server_options(None, Places(None, (path,))).values == {}
    assert os.listdir(tmp_path) == ["postgrey"]
    subprocess.run(["bash", path], check=True)
    assert len(os.listdir(tmp_path)) == 4, "a shell would have"
