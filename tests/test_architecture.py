# SPDX-License-Identifier: GPL-2.0-or-later
"""Imports go one way: daemon and commands -> database and protocol -> greylist. Facts are for the daemon alone.

Each module has its tests in a file of its own.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.servers import ROOT

PACKAGE = "postgrey_py"

# What each room, and each module beside the rooms, may import of ours; "" is the package itself, with the version.
MAY_IMPORT = {
    "": set(),
    "errors": set(),
    "accounts": {"errors"},
    "listfiles": {"greylist", "errors"},
    "publicsuffix": {"greylist", "errors"},
    "commandline": {"errors"},
    "greylist": {"greylist", "errors"},
    "protocol": {"protocol", "greylist", "errors"},
    "facts": {"facts", "greylist", "errors"},
    "database": {"database", "greylist", "accounts", "errors"},
    "daemon": {
        *("daemon", "database", "facts", "protocol", "greylist"),
        *("accounts", "listfiles", "publicsuffix", "commandline", "errors", ""),
    },
    "commands": {
        *("commands", "database", "protocol", "greylist"),
        *("accounts", "listfiles", "publicsuffix", "commandline", "errors", ""),
    },
    "scripts": {"daemon", "commands"},
}

# Berkeley DB by either of its names.
BINDINGS = {"berkeleydb", "bsddb3", "bsddb", "_berkeleydb"}

# The rules know nothing of files, sockets, processes, the clock or the event loop.
PURE_MODULES = {
    *(
        "__future__",
        "collections.abc",
        "contextlib",
        "dataclasses",
        "difflib",
        "enum",
        "fnmatch",
        "functools",
        "hashlib",
        "json",
        "re",
        "typing",
    ),
    *("netaddr", "regex"),
}
# Of modules that can do more, what has no effect and needs nothing but its arguments.
PURE_NAMES = {"socket": {"AF_INET", "AF_INET6", "inet_ntop", "inet_pton"}}
# And functions that read the clock unless they are given a time: how many arguments make them pure.
PURE_TIME = {"strftime": 2, "localtime": 1}
EFFECTS = {"open", "print", "input", "exec", "eval", "compile", "breakpoint", "__import__"}

# The protocol has no sockets in it either.
PURE_ROOMS = ("greylist", "protocol")

# Rooms within a room that know nothing of each other.
STRANGERS = ("commands.report", "commands.replay")


class Import(NamedTuple):
    """One imported thing: `name` is None for a whole module."""

    line: int
    module: str
    name: str | None
    alias: str | None

    def target(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def read_imports(tree: ast.Module, package: str) -> Iterator[Import]:
    """Every import in this module of `package`, wherever it stands; relative ones written in full."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, None, alias.asname)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(node.lineno, module, alias.name, alias.asname)


def room_of(target: str) -> str | None:
    """The room or module of ours that this target belongs to; None where it is not ours."""
    package, _, rest = target.partition(".")
    if package != PACKAGE:
        return None
    first = rest.partition(".")[0]
    return first if first and first in MAY_IMPORT else ""


def find_violations(root: Path) -> list[str]:
    """What is against the rules in the program under `root`, as `file:line: problem`."""
    return [
        f"{path}:{line}: {problem}"
        for path in sorted(source_files(root))
        for line, problem in sorted(check_file(root, path))
    ]


def source_files(root: Path) -> Iterator[Path]:
    """The modules and the commands, relative to `root`."""
    for path in root.joinpath(PACKAGE).rglob("*.py"):
        yield path.relative_to(root)
    for path in root.joinpath("scripts").glob("*"):
        if path.is_file() and path.read_bytes().splitlines()[0].startswith(b"#!/usr/bin/env python"):
            yield path.relative_to(root)


def check_file(root: Path, path: Path) -> Iterator[tuple[int, str]]:
    """Line and problem of everything that is against the rules in one file."""
    tree = ast.parse(root.joinpath(path).read_bytes())
    room = path.parts[0] if len(path.parts) == 2 and path.parts[0] == "scripts" else path.with_suffix("").parts[1]
    room = "" if room == "__init__" else room
    if room not in MAY_IMPORT:
        yield 1, f"there is no place for {room}: say in MAY_IMPORT what it may import"
        return
    imports = list(read_imports(tree, ".".join(path.parts[:-1])))
    for found in imports:
        theirs = room_of(found.target())
        if theirs is not None and theirs not in MAY_IMPORT[room]:
            yield found.line, f"{room or PACKAGE} imports {theirs or PACKAGE}"
        if found.module.partition(".")[0] in BINDINGS and room != "database":
            yield found.line, f"only database imports {found.module}"
        stranger = next((name for name in STRANGERS if f"{found.target()}.".startswith(f"{PACKAGE}.{name}.")), None)
        if stranger is not None and ".".join(path.parts[1:3]) in STRANGERS and ".".join(path.parts[1:3]) != stranger:
            yield found.line, f"{'.'.join(path.parts[1:3])} imports {stranger}"
    if room in PURE_ROOMS:
        yield from check_purity(tree, imports)


def check_purity(tree: ast.Module, imports: list[Import]) -> Iterator[tuple[int, str]]:
    """Everything in a pure module that could have an effect or depend on more than its arguments."""
    for found in imports:
        if room_of(found.target()) is not None or found.module in PURE_MODULES:
            continue
        # The module by its own name, so that its use can be followed.
        is_time = found == Import(found.line, "time", None, None)
        if not is_time and found.name not in PURE_NAMES.get(found.module, ()):
            yield found.line, f"{found.target()} is nothing for a pure module"
    pure = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call) and is_pure_time(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_name(node.value, "time") and id(node) not in pure:
            yield node.lineno, f"time.{node.attr} reads the clock"
        elif isinstance(node, ast.Name) and node.id in EFFECTS:
            yield node.lineno, f"{node.id} is nothing for a pure module"


def is_pure_time(call: ast.Call) -> bool:
    """Whether this calls a function of `time` with the time that it is to work on."""
    function = call.func
    if not isinstance(function, ast.Attribute) or not is_name(function.value, "time"):
        return False
    return function.attr in PURE_TIME and len(call.args) >= PURE_TIME[function.attr]


def is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def test_the_program_keeps_to_the_rules() -> None:
    assert find_violations(ROOT) == []


def test_every_room_is_looked_at() -> None:
    paths = list(source_files(ROOT))
    assert Path("scripts", "postgrey") in paths
    for room in ("greylist", "database", "daemon", "commands"):
        modules = [path for path in paths if path.parts[:2] == (PACKAGE, room)]
        assert len(modules) > 3, room
    assert all(ROOT.joinpath(PACKAGE, room).is_dir() for room in PURE_ROOMS)
    assert all(ROOT.joinpath(PACKAGE, *name.split(".")).is_dir() for name in STRANGERS)


def test_the_rooms_are_used_as_the_picture_has_it() -> None:
    """What may be imported is imported somewhere: the check sees the imports that there are."""
    used: dict[str, set[str]] = {}
    for path in source_files(ROOT):
        tree = ast.parse(ROOT.joinpath(path).read_bytes())
        for found in read_imports(tree, ".".join(path.parts[:-1])):
            room = room_of(found.target())
            if room is not None:
                used.setdefault(path.parts[1] if path.parts[0] == PACKAGE else path.parts[0], set()).add(room)
    assert {"database", "greylist"} <= used["daemon"]
    assert {"greylist"} <= used["greylist"]
    assert {"daemon"} <= used["scripts"]


# Tests mirror modules. Where the file of tests does not import its module, there needs to be a reason here.
UNMIRRORED = {
    # These are processes, which their tests start and look at from outside.
    "daemon/background.py": "is about leaving the process that started it",
    "daemon/check.py": "becomes another user for good",
    "daemon/main.py": "is the whole server",
    "daemon/server.py": "is the event loop of a process, with its signals",
}


def missing_tests(root: Path, excused: Collection[str]) -> list[str]:
    """The files of tests that modules of the program under `root` lack, and excuses that no module needs."""
    problems = []
    unneeded = set(excused)
    for path in sorted(root.joinpath(PACKAGE).rglob("*.py")):
        module = path.relative_to(root / PACKAGE)
        # A package says what it is for; what little else it has (the version) is no behaviour.
        if module.name == "__init__.py":
            continue
        mirror = root / "tests" / module.with_name(f"test_{module.name}")
        name = ".".join([PACKAGE, *module.with_suffix("").parts])
        if not mirror.is_file():
            problems.append(f"there is no {mirror.relative_to(root)}")
        elif not module_is_imported(mirror, name):
            if str(module) not in excused:
                problems.append(f"{mirror.relative_to(root)} does not test {PACKAGE}/{module}")
            unneeded.discard(str(module))
    return problems + [f"{module} needs no excuse" for module in sorted(unneeded)]


def module_is_imported(path: Path, module: str) -> bool:
    """Whether a file imports this module, or something of it; one that only a new process imports counts, too."""
    octets = path.read_bytes()
    targets = {f"{found.target()}." for found in read_imports(ast.parse(octets), "tests")}
    parent, _, name = module.rpartition(".")
    in_text = (module.encode(), f"from {parent} import {name}".encode())
    return any(target.startswith(f"{module}.") for target in targets) or any(text in octets for text in in_text)


def test_every_module_has_its_tests() -> None:
    assert missing_tests(ROOT, UNMIRRORED) == []


def test_a_module_without_tests_is_found(tmp_path: Path) -> None:
    write_program(tmp_path, **{f"{PACKAGE}/__init__.py": ""})
    excused = {"daemon/main.py", "commands/dump.py", "greylist/rules.py"}
    write_tests = {
        # The right name alone is not enough.
        "tests/greylist/test_other.py": "from postgrey_py.greylist import rules\n",
        "tests/greylist/test_rules.py": "from postgrey_py.greylist.rules import f\n",
        "tests/protocol/test_reader.py": "from postgrey_py.protocol import reader\n",
        "tests/commands/test_dump.py": "from tests.support import servers\n",
        "tests/daemon/test_main.py": "",
        "tests/database/test_store.py": "PROGRAM = 'from postgrey_py.database import store'\n",
    }
    for name, text in write_tests.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert missing_tests(tmp_path, excused) == [
        "there is no tests/test_commandline.py",
        "there is no tests/commands/replay/test_main.py",
        "there is no tests/commands/report/test_main.py",
        "there is no tests/test_errors.py",
        "there is no tests/facts/test_source.py",
        "tests/greylist/test_other.py does not test postgrey_py/greylist/other.py",
        "greylist/rules.py needs no excuse",
    ]


# A program that keeps to the rules, by file.
SOUND = {
    f"{PACKAGE}/__init__.py": "__version__ = '1'\n",
    f"{PACKAGE}/errors.py": "class PostgreyError(Exception): ...\n",
    f"{PACKAGE}/commandline.py": "from postgrey_py.errors import PostgreyError\nimport os\n",
    f"{PACKAGE}/greylist/__init__.py": "",
    f"{PACKAGE}/greylist/rules.py": (
        "from __future__ import annotations\n"
        "import re, time\n"
        "from socket import AF_INET, inet_pton\n"
        "import netaddr\n"
        "from postgrey_py.errors import PostgreyError\n"
        "from . import other\n"
        "def f(now: int, table: object) -> str:\n"
        "    return time.strftime('%Y', time.localtime(now))\n"
    ),
    f"{PACKAGE}/greylist/other.py": "",
    f"{PACKAGE}/database/__init__.py": "",
    f"{PACKAGE}/database/store.py": (
        "import os\n"
        "try:\n    from berkeleydb import db\nexcept ImportError:\n    from bsddb3 import db\n"
        "from postgrey_py.greylist.rules import f\n"
        "from postgrey_py.errors import PostgreyError\n"
    ),
    f"{PACKAGE}/facts/__init__.py": "",
    f"{PACKAGE}/facts/source.py": "from postgrey_py.greylist.rules import f\n",
    f"{PACKAGE}/daemon/__init__.py": "",
    f"{PACKAGE}/protocol/__init__.py": "",
    f"{PACKAGE}/protocol/reader.py": "import re\nfrom postgrey_py.errors import PostgreyError\n",
    f"{PACKAGE}/daemon/main.py": (
        "import asyncio, socket, time\n"
        "from postgrey_py import __version__\n"
        "from postgrey_py.commandline import PostgreyError\n"
        "from postgrey_py.database.store import db\n"
        "from postgrey_py.greylist import rules\n"
        "from postgrey_py.protocol import reader\n"
        "now = time.time()\n"
        "print(open('/dev/null'))\n"
    ),
    f"{PACKAGE}/commands/__init__.py": "",
    f"{PACKAGE}/commands/dump.py": (
        "from postgrey_py.database.store import db\nfrom postgrey_py.greylist.rules import f\n"
    ),
    f"{PACKAGE}/commands/report/__init__.py": "",
    f"{PACKAGE}/commands/report/main.py": "from postgrey_py.commands.dump import db\n",
    f"{PACKAGE}/commands/replay/__init__.py": "",
    f"{PACKAGE}/commands/replay/main.py": "from . import load\n",
    "scripts/postgrey": "#!/usr/bin/env python3\nfrom postgrey_py.daemon.main import main\n",
    "scripts/init": "#!/bin/sh\nimport postgrey_py.database\n",
}


def write_program(root: Path, **more: str) -> None:
    """Write the sound program, with these lines added to files of it or with these files added."""
    for name, text in {**SOUND, **{name: SOUND.get(name, "") + text for name, text in more.items()}}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_program_that_keeps_to_the_rules_has_no_violation(tmp_path: Path) -> None:
    write_program(tmp_path)
    assert find_violations(tmp_path) == []


R_TO_R = "commands.report imports commands.replay"
RULES, STORE, PROTOCOL = "greylist/rules.py", "database/store.py", "protocol/reader.py"
FACTS = "facts/source.py"


@pytest.mark.parametrize(
    ("file", "line", "problem"),
    [
        # Upward, however it is written.
        (RULES, "from postgrey_py.database.store import Store", "greylist imports database"),
        (RULES, "from postgrey_py.database import store", "greylist imports database"),
        (RULES, "from postgrey_py import database", "greylist imports database"),
        (RULES, "import postgrey_py.database.store", "greylist imports database"),
        (RULES, "import postgrey_py.database as shelf", "greylist imports database"),
        (RULES, "from ..database.store import Store", "greylist imports database"),
        (RULES, "from .. import daemon", "greylist imports daemon"),
        (RULES, "from ..daemon import protocol", "greylist imports daemon"),
        (RULES, "def g():\n    from postgrey_py.commands import dump", "greylist imports commands"),
        (RULES, "if TYPE_CHECKING:\n    from postgrey_py.daemon.main import main", "greylist imports daemon"),
        (RULES, "from postgrey_py.commandline import Parser", "greylist imports commandline"),
        (RULES, "from postgrey_py import __version__", "greylist imports postgrey_py"),
        (STORE, "from postgrey_py.daemon.main import main", "database imports daemon"),
        (STORE, "from postgrey_py import commands", "database imports commands"),
        (STORE, "from postgrey_py.commandline import Parser", "database imports commandline"),
        ("database/__init__.py", "from ..daemon import main", "database imports daemon"),
        ("database/__init__.py", "from . import store\nfrom .. import commands", "database imports commands"),
        ("daemon/main.py", "from postgrey_py.commands import dump", "daemon imports commands"),
        ("commands/dump.py", "import postgrey_py.daemon.main", "commands imports daemon"),
        ("commands/report/main.py", "from postgrey_py.commands.replay import load", R_TO_R),
        ("commands/report/main.py", "from ..replay.load import Load", R_TO_R),
        ("commands/report/main.py", "import postgrey_py.commands.replay.load", R_TO_R),
        (
            "commands/replay/main.py",
            "from postgrey_py.commands.report import main",
            "commands.replay imports commands.report",
        ),
        ("commands/replay/__init__.py", "from .. import report", "commands.replay imports commands.report"),
        (STORE, "from postgrey_py.facts import source", "database imports facts"),
        (FACTS, "from ..database.store import Store", "facts imports database"),
        (FACTS, "from postgrey_py.daemon import main", "facts imports daemon"),
        (FACTS, "def g():\n    from postgrey_py import commands", "facts imports commands"),
        (FACTS, "from bsddb3 import db", "only database imports bsddb3"),
        ("errors.py", "from postgrey_py.greylist import rules", "errors imports greylist"),
        ("commandline.py", "from .daemon import main", "commandline imports daemon"),
        ("__init__.py", "from postgrey_py.greylist import rules", "postgrey_py imports greylist"),
        # Berkeley DB elsewhere.
        ("daemon/main.py", "from berkeleydb import db", "only database imports berkeleydb"),
        ("commands/dump.py", "import bsddb3.db", "only database imports bsddb3.db"),
        ("commandline.py", "try:\n    import bsddb3\nexcept ImportError:\n    pass", "only database imports bsddb3"),
        # Effects in the rules.
        (RULES, "import asyncio", "asyncio is nothing for a pure module"),
        (RULES, "import socket", "socket is nothing for a pure module"),
        (RULES, "from socket import create_server", "socket.create_server is nothing for a pure module"),
        (RULES, "from os import path", "os.path is nothing for a pure module"),
        (RULES, "import os.path", "os.path is nothing for a pure module"),
        (RULES, "import logging", "logging is nothing for a pure module"),
        (RULES, "from time import time", "time.time is nothing for a pure module"),
        (RULES, "from time import localtime", "time.localtime is nothing for a pure module"),
        (RULES, "import time as clock", "time is nothing for a pure module"),
        (RULES, "from datetime import datetime", "datetime.datetime is nothing for a pure module"),
        (RULES, "x = time.time()", "time.time reads the clock"),
        (RULES, "x = time.time", "time.time reads the clock"),
        (RULES, "x = time.localtime()", "time.localtime reads the clock"),
        (RULES, "x = time.localtime", "time.localtime reads the clock"),
        (RULES, "x = time.strftime('%Y')", "time.strftime reads the clock"),
        (RULES, "x = time.sleep(1)", "time.sleep reads the clock"),
        (RULES, "x = open('file')", "open is nothing for a pure module"),
        (RULES, "print('x')", "print is nothing for a pure module"),
        (RULES, "x = __import__('os')", "__import__ is nothing for a pure module"),
        # And in the protocol.
        (PROTOCOL, "import socket", "socket is nothing for a pure module"),
        (PROTOCOL, "import asyncio.protocols", "asyncio.protocols is nothing for a pure module"),
        (PROTOCOL, "import time\nx = time.monotonic()", "time.monotonic reads the clock"),
        # A new module that nobody has found a place for.
        ("utils.py", "import os", "there is no place for utils: say in MAY_IMPORT what it may import"),
    ],
)
def test_a_planted_violation_is_found(file: str, line: str, problem: str, tmp_path: Path) -> None:
    name = f"{PACKAGE}/{file}"
    write_program(tmp_path, **{name: f"{line}\n"})
    (found,) = find_violations(tmp_path)
    number = 1 if file == "utils.py" else (SOUND[name] + line).splitlines().index(problem_line(line)) + 1
    assert found == f"{name}:{number}: {problem}"


def problem_line(planted: str) -> str:
    """The line of these that is against the rules: the last, but for a try, whose second it is."""
    lines = planted.splitlines()
    return lines[1] if lines[0] == "try:" else lines[-1]


def test_a_command_imports_a_main_and_nothing_below(tmp_path: Path) -> None:
    write_program(tmp_path, **{"scripts/postgrey": "from postgrey_py.greylist import rules\n"})
    assert find_violations(tmp_path) == ["scripts/postgrey:3: scripts imports greylist"]
