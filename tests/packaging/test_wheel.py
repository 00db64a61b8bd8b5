# SPDX-License-Identifier: GPL-2.0-or-later
"""The source distribution is the whole tree, and the wheel made from it installs all that runs, and runs.

Nothing is fetched: the tests' own virtual environment lends setuptools to the builds and the libraries to the new one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

from postgrey_py.commands.registry import COMMANDS
from tests.support.policy import ask
from tests.support.servers import ROOT, PolicyServer

# Where shells look, below share/.
COMPLETIONS = {"bash": "bash-completion/completions", "zsh": "zsh/site-functions"}

# The wheel is the same, byte for byte, when it is built again from the same files with this.
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


def copy_tree(target: Path) -> Path:
    """A copy of this tree without what git ignores."""
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    return shutil.copytree(ROOT, target, symlinks=True, ignore=shutil.ignore_patterns(".git", *ignored))


def list_files(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}


def build(source: Path, target: Path, *what: str) -> list[Path]:
    """What `python -m build` makes, sorted by name."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(target), *what, str(source)]
    result = subprocess.run(
        command, env={**os.environ, **EPOCH}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert result.returncode == 0, result.stdout
    return sorted(target.iterdir())


@dataclass(frozen=True)
class Distributions:
    """A source distribution, the wheel made from it, and the tree that it was made from with the files it had then."""

    sdist: Path
    wheel: Path
    tree: Path
    files: set[str]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    tree = copy_tree(tmp_path_factory.mktemp("tree") / "source")
    files = list_files(tree)
    wheel, sdist = build(tree, tmp_path_factory.mktemp("dist"))
    return Distributions(sdist, wheel, tree, files)


@pytest.fixture(scope="module")
def environment(distributions: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel in it, and the libraries of the one that the tests run in."""
    directory = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "install", "--no-index", "--no-deps", distributions.wheel], check=True)
    (packages,) = (directory / "lib").glob("python*/site-packages")
    libraries = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    (packages / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    return directory


def test_the_source_distribution_is_the_whole_tree(distributions: Distributions) -> None:
    with tarfile.open(distributions.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if not member.isdir()}
    generated = {name for name in names if name == "PKG-INFO" or name.startswith("postgrey_py.egg-info/")}
    assert names - generated == distributions.files
    assert {"COPYING", "debian/control", "doc/packaging.md", "man/postgrey.8", "tests/conftest.py"} <= names


def test_a_wheel_of_the_tree_is_that_of_the_source_distribution(distributions: Distributions, tmp_path: Path) -> None:
    (wheel,) = build(distributions.tree, tmp_path, "--wheel")
    assert wheel.name == distributions.wheel.name
    assert wheel.read_bytes() == distributions.wheel.read_bytes()


def installed_as(name: str) -> str | None:
    """Where the wheel has this file of the tree, `data` being what is to be below the prefix; None for no place."""
    room, _, rest = name.partition("/")
    match room:
        case "postgrey_py":
            return name
        case "man":
            return f"data/share/man/man{rest[-1]}/{rest}"
        case "whitelists":
            return f"data/share/postgrey-py/whitelists/{rest}"
        case "completions":
            shell, _, command = rest.partition("/")
            return f"data/share/{COMPLETIONS[shell]}/{command}"
        case "CONTRIBUTING.md" | "README.md" | "doc":
            return f"data/share/doc/postgrey-py/{name}"
        case "scripts":
            return f"data/share/postgrey-py/{rest}" if "/" in rest else name
        case _:
            return None


def test_the_wheel_has_all_that_is_to_be_installed(distributions: Distributions) -> None:
    with ZipFile(distributions.wheel) as archive:
        names = {name.partition(".data/")[2] or name for name in archive.namelist()}
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == {place for place in map(installed_as, distributions.files) if place}
    assert any(name.endswith("/COPYING") for name in about)


def test_links_between_pages_hold_where_they_are_installed(environment: Path) -> None:
    pages = list((environment / "share" / "doc" / "postgrey-py").rglob("*.md"))
    links = {(page, link) for page in pages for link in re.findall(r"\]\((?!https?:)([^)]*)\)", page.read_text())}
    assert len(links) >= 4
    assert [link for page, link in links if not (page.parent / link).exists()] == []


def test_start_up_scripts_stay_executable(environment: Path) -> None:
    share = environment / "share" / "postgrey-py"
    executable = {
        str(path.relative_to(share)) for path in share.rglob("*") if path.is_file() and os.access(path, os.X_OK)
    }
    assert executable == {"init.d/postgrey", "init.d/postgrey.redhat", "smf/svc-postgrey"}


def test_it_serves_with_the_installed_whitelists(environment: Path, tmp_path: Path) -> None:
    whitelists = environment / "share" / "postgrey-py" / "whitelists"
    options = [f"--whitelist-{kind}={whitelists / f'postgrey_whitelist_{kind}'}" for kind in ("clients", "recipients")]
    command = [str(environment / "bin" / "postgrey")]
    with PolicyServer(command, tmp_path / "db", options, env={"PYTHONPATH": ""}) as server:
        assert ask(server.port).startswith("DEFER_IF_PERMIT")
        assert ask(server.port, client_name="mx1.debian.org") == "DUNNO"
        assert ask(server.port, recipient="postmaster@example.org") == "DUNNO"


def test_it_runs_what_was_installed(environment: Path, tmp_path: Path) -> None:
    query = [str(environment / "bin" / "python"), "-c", "import postgrey_py; print(postgrey_py.__file__)"]
    result = subprocess.run(query, cwd=tmp_path, env={}, check=True, capture_output=True, text=True)
    assert Path(result.stdout).is_relative_to(environment)


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_commands_show_their_manuals(environment: Path, tmp_path: Path, command: str) -> None:
    result = subprocess.run(
        [environment / "bin" / command, "--man"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert command in result.stdout
    assert "SYNOPSIS" in result.stdout
