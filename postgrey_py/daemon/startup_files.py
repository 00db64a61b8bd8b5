# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey --print-startup-file=KIND`: the start-up files that are installed with it, made to fit where it is.

pip puts files where it is told to, but never writes the place into them; so the program does, which knows it.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import postgrey_py
from postgrey_py.commandline import find_prefixes
from postgrey_py.errors import PostgreyError

# Below scripts/ of the source, and below share/postgrey-py/ where it is installed.
STARTUP_FILES = {
    "init.d": "init.d/postgrey",
    "init.d-redhat": "init.d/postgrey.redhat",
    "smf": "smf/postgrey.xml",
    "smf-method": "smf/svc-postgrey",
    "systemd": "systemd/postgrey.service",
    "systemd-socket": "systemd/postgrey.socket",
}

# The paths that the files have in the tree.
_PROGRAM = "/usr/sbin/postgrey"
_SMF_PREFIX = "/opt/postgrey"


@dataclass(frozen=True, slots=True)
class Installation:
    """The path of the program, and the PYTHONPATH that it needs to find its modules, empty for none."""

    program: str
    python_path: str


def print_startup_file(kind: str) -> None:
    """Print the start-up file of this kind, a key of STARTUP_FILES, for the program that runs. Raises PostgreyError."""
    print(fit(kind, _find_template(STARTUP_FILES[kind]).read_text(encoding="utf-8"), _find_installation()), end="")


def fit(kind: str, template: str, installation: Installation) -> str:
    """Return the file of this kind for this installation."""
    fitter: Callable[[str, Installation], str]
    match kind.partition("-")[0]:
        case "systemd":
            fitter = _fit_unit
        case "smf":
            fitter = _fit_manifest
        case _:
            fitter = _fit_script
    return fitter(template, installation)


def _fit_script(template: str, installation: Installation) -> str:
    lines = f"DAEMON={shlex.quote(installation.program)}\n"
    if installation.python_path:
        lines += f"export PYTHONPATH={shlex.quote(installation.python_path)}\n"
    return template.replace(f"DAEMON={_PROGRAM}\n", lines)


def _fit_unit(template: str, installation: Installation) -> str:
    # The prefix of the executable, `!`, must be inside the quotes.
    text = template.replace(f"=!{_PROGRAM} ", f"={_quote_word('!' + installation.program)} ")
    if installation.python_path:
        setting = _quote_word(f"PYTHONPATH={installation.python_path}")
        text = text.replace("ExecStart=", f"Environment={setting}\nExecStart=", 1)
    return text


def _quote_word(word: str) -> str:
    """A word of a unit's setting, without expansion (systemd.service(5), COMMAND LINES)."""
    if re.fullmatch(r"[\w!=/.,:+@-]+", word, re.ASCII):
        return word
    return '"{}"'.format(word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%"))


def _fit_manifest(template: str, installation: Installation) -> str:
    # It brings much along that no server needs.
    from xml.sax.saxutils import quoteattr

    manuals = str(Path(installation.program).parent.parent / "share" / "man")
    text = template.replace(f'"{_SMF_PREFIX}/bin/postgrey"', quoteattr(installation.program))
    text = text.replace(f'"{_SMF_PREFIX}/share/man"', quoteattr(manuals))
    if installation.python_path:
        variable = f'<envvar name="PYTHONPATH" value={quoteattr(installation.python_path)}/>'
        text = text.replace("</method_environment>", f"  {variable}\n      </method_environment>")
    return text


def _find_template(name: str) -> Path:
    source = Path(postgrey_py.__file__).resolve().parents[1] / "scripts"
    for directory in (source, *(prefix / "share" / "postgrey-py" for prefix in find_prefixes())):
        if (directory / name).is_file():
            return directory / name
    raise PostgreyError(
        f"{name} is not installed here; a package of a distribution has start-up files of its own in their places"
    )


def _find_installation() -> Installation:
    program = os.path.abspath(sys.argv[0])
    # As at a start: with nothing from the environment, and nothing of the user's.
    command = [sys.executable, "-I", "-c", "import postgrey_py.daemon.main"]
    found = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    if found.returncode == 0:
        return Installation(program, "")
    needed = [str(Path(postgrey_py.__file__).resolve().parents[1])]
    given = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return Installation(program, os.pathsep.join(dict.fromkeys([*given, *needed])))
