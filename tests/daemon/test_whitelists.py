# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from postgrey_py.daemon.whitelists import WhitelistFiles
from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.settings import Settings

NO_SUCH_FILE = "No such file or directory"
IS_A_DIRECTORY = "Is a directory"


class Files:
    """Two client whitelists and two recipient whitelists in a directory, the second of each for one's own entries."""

    def __init__(self, directory: Path) -> None:
        self.clients, self.own_clients = directory / "clients", directory / "clients.local"
        self.recipients, self.own_recipients = directory / "recipients", directory / "recipients.local"
        self.clients.write_text("stock.example\n")
        self.recipients.write_text("stock@example.org\n")
        self.settings = Settings(
            whitelist_clients=(os.fspath(self.clients), os.fspath(self.own_clients)),
            whitelist_recipients=(os.fspath(self.recipients), os.fspath(self.own_recipients)),
        )


def read(settings: Settings) -> WhitelistFiles:
    """The whitelists of these settings, none of whose patterns takes long."""

    def report(text: str) -> None:
        raise AssertionError(text)

    return WhitelistFiles(settings, report)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def make_unreadable(path: Path) -> None:
    """Let nobody read this file, not even root."""
    path.unlink(missing_ok=True)
    path.mkdir()


def lists_client(whitelists: WhitelistFiles, name: str, text: str = "203.0.113.9") -> bool:
    address = parse_address(text)
    assert isinstance(address, Address)
    return whitelists.current.client.match(name, address) is not None


# At start.


def test_all_files_are_read(files: Files) -> None:
    files.own_clients.write_text("own.example\n192.0.2.0/24\n")
    files.own_recipients.write_text("own@example.org\n")
    whitelists = read(files.settings)
    assert whitelists.complaints == []
    assert lists_client(whitelists, "stock.example")
    assert lists_client(whitelists, "own.example")
    assert lists_client(whitelists, "", "192.0.2.1")
    assert not lists_client(whitelists, "other.example")
    assert whitelists.current.recipient.match("stock@example.org")
    assert whitelists.current.recipient.match("own@example.org")
    assert not whitelists.current.recipient.match("other@example.org")


def test_a_missing_local_file_is_nothing_to_complain_of(files: Files) -> None:
    whitelists = read(files.settings)
    assert whitelists.complaints == []
    assert lists_client(whitelists, "stock.example")


def test_any_other_missing_file_is(files: Files) -> None:
    files.clients.unlink()
    files.recipients.unlink()
    whitelists = read(files.settings)
    assert whitelists.complaints == [
        f"can't open {files.clients}: {NO_SUCH_FILE}",
        f"can't open {files.recipients}: {NO_SUCH_FILE}",
    ]
    assert not lists_client(whitelists, "stock.example")


def test_a_local_file_that_is_there_but_cannot_be_read_is(files: Files) -> None:
    make_unreadable(files.own_clients)
    make_unreadable(files.own_recipients)
    whitelists = read(files.settings)
    assert whitelists.complaints == [
        f"can't open {files.own_clients}: {IS_A_DIRECTORY}",
        f"can't open {files.own_recipients}: {IS_A_DIRECTORY}",
    ]
    # The other one counts.
    assert lists_client(whitelists, "stock.example")
    assert whitelists.current.recipient.match("stock@example.org")


def test_bad_lines_are_told_with_file_and_line(files: Files) -> None:
    files.clients.write_text("# comment\n\ntwo words\nstock.example\n10\n")
    files.own_clients.write_text("/(/\nown.example\n")
    files.recipients.write_text("stock@example.org\ntwo words")
    files.own_recipients.write_text("\n\n\n/[/\n")
    whitelists = read(files.settings)
    beginnings = [
        f"{files.clients} line 3: doesn't look like a hostname",
        f"{files.clients} line 5: 10 is no network: ",
        f"{files.own_clients} line 1: can't compile the pattern /(/: ",
        f"{files.recipients} line 2: doesn't look like an address",
        f"{files.own_recipients} line 4: can't compile the pattern /[/: ",
    ]
    assert len(whitelists.complaints) == len(beginnings)
    for text, beginning in zip(whitelists.complaints, beginnings, strict=True):
        assert text.startswith(beginning)
    assert lists_client(whitelists, "stock.example")
    assert lists_client(whitelists, "own.example")
    assert whitelists.current.recipient.match("stock@example.org")


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_lines_end_as_they_like(end: bytes, files: Files) -> None:
    files.clients.write_bytes(end.join([b"one.example", b"", b"two words", b"192.0.2.0/24"]))
    whitelists = read(files.settings)
    assert whitelists.complaints == [f"{files.clients} line 3: doesn't look like a hostname"]
    assert lists_client(whitelists, "one.example")
    assert lists_client(whitelists, "", "192.0.2.1")


# To Perl nothing but a newline ends a line.
@pytest.mark.parametrize("octet", [b"\x1c", b"\x85", b"\xe2\x80\xa8"])
def test_nothing_else_ends_a_line(octet: bytes, files: Files) -> None:
    files.clients.write_bytes(b"one" + octet + b"two\nthree.example\nfour words\n")
    whitelists = read(files.settings)
    assert [text.partition(" line ")[2][:1] for text in whitelists.complaints] == ["1", "3"]
    assert not lists_client(whitelists, "one")
    assert lists_client(whitelists, (b"one" + octet + b"two").decode("latin-1"))


def test_bytes_are_matched_as_bytes(files: Files) -> None:
    files.clients.write_bytes(b"caf\xe9.example\ncaf\xc3\xa8.example\n/^tr\xe9s$/\n")
    whitelists = read(files.settings)
    # The first is not what the DNS could have made of it.
    assert [text.partition(" line ")[2][:1] for text in whitelists.complaints] == ["1"]
    assert lists_client(whitelists, "caf\xe9.example")
    assert lists_client(whitelists, "caf\xc3\xa8.example")
    assert lists_client(whitelists, "tr\xe9s")


def test_no_files_are_empty_whitelists() -> None:
    whitelists = read(Settings(whitelist_clients=(), whitelist_recipients=()))
    assert whitelists.complaints == []
    assert whitelists.summary() == "whitelists: nothing in force, 0 lines not used"
    assert not lists_client(whitelists, "stock.example")
    assert not whitelists.current.recipient.match("stock@example.org")
    assert whitelists.reload() == []


def test_the_order_of_files_does_not_matter_and_one_may_come_twice(files: Files) -> None:
    path = os.fspath(files.clients)
    whitelists = read(Settings(whitelist_clients=(path, path), whitelist_recipients=()))
    assert whitelists.complaints == []
    assert whitelists.summary() == "whitelists: 2 entries for clients in force, 0 lines not used"
    assert lists_client(whitelists, "stock.example")


# On HUP.


def test_a_reload_reads_what_the_files_have_now(files: Files) -> None:
    whitelists = read(files.settings)
    before = whitelists.current
    files.clients.write_text("new.example\n")
    files.recipients.write_text("new@example.org\n")
    files.own_clients.write_text("own.example\n")
    assert whitelists.reload() == []
    assert lists_client(whitelists, "new.example")
    assert lists_client(whitelists, "own.example")
    assert not lists_client(whitelists, "stock.example")
    assert whitelists.current.recipient.match("new@example.org")
    assert not whitelists.current.recipient.match("stock@example.org")
    # Who still has the old one keeps it as it was.
    assert before is not whitelists.current
    assert before.client.match("stock.example", Address(1, 32))


def test_a_reload_tells_bad_lines(files: Files) -> None:
    whitelists = read(files.settings)
    files.clients.write_text("two words\nnew.example\n")
    files.recipients.write_text("\ntwo words\nnew@example.org\n")
    assert whitelists.reload() == [
        f"{files.clients} line 1: doesn't look like a hostname",
        f"{files.recipients} line 2: doesn't look like an address",
    ]
    assert lists_client(whitelists, "new.example")
    assert whitelists.current.recipient.match("new@example.org")


# unlike 1.37, where the list becomes empty.
def test_a_list_stays_whole_when_one_of_its_files_cannot_be_read_any_more(files: Files) -> None:
    files.own_clients.write_text("own.example\n")
    whitelists = read(files.settings)
    files.own_clients.write_text("newer.example\n")
    files.clients.unlink()
    files.recipients.write_text("new@example.org\n")
    assert whitelists.reload() == [
        f"can't open {files.clients}: {NO_SUCH_FILE}",
        "the client whitelist stays as it was",
    ]
    assert lists_client(whitelists, "stock.example")
    assert lists_client(whitelists, "own.example")
    assert not lists_client(whitelists, "newer.example")
    # The other list is read.
    assert whitelists.current.recipient.match("new@example.org")


def test_the_same_for_recipients(files: Files) -> None:
    whitelists = read(files.settings)
    make_unreadable(files.recipients)
    files.clients.write_text("new.example\n")
    assert whitelists.reload() == [
        f"can't open {files.recipients}: {IS_A_DIRECTORY}",
        "the recipient whitelist stays as it was",
    ]
    assert whitelists.current.recipient.match("stock@example.org")
    assert lists_client(whitelists, "new.example")


def test_it_is_read_again_as_soon_as_that_is_possible(files: Files) -> None:
    whitelists = read(files.settings)
    files.clients.unlink()
    whitelists.reload()
    assert whitelists.reload() == [
        f"can't open {files.clients}: {NO_SUCH_FILE}",
        "the client whitelist stays as it was",
    ]
    files.clients.write_text("new.example\n")
    assert whitelists.reload() == []
    assert lists_client(whitelists, "new.example")
    assert not lists_client(whitelists, "stock.example")


def test_a_local_file_may_be_removed(files: Files) -> None:
    files.own_clients.write_text("own.example\n")
    whitelists = read(files.settings)
    files.own_clients.unlink()
    assert whitelists.reload() == []
    assert lists_client(whitelists, "stock.example")
    assert not lists_client(whitelists, "own.example")


def test_a_file_that_could_never_be_read_does_not_keep_the_others_from_being_read(files: Files) -> None:
    files.clients.unlink()
    files.own_clients.write_text("own.example\n")
    whitelists = read(files.settings)
    files.own_clients.write_text("newer.example\n")
    assert whitelists.reload() == [f"can't open {files.clients}: {NO_SUCH_FILE}"]
    assert lists_client(whitelists, "newer.example")
    assert not lists_client(whitelists, "own.example")


def test_a_file_that_came_later_counts_as_one_that_could_be_read(files: Files) -> None:
    files.clients.unlink()
    whitelists = read(files.settings)
    files.clients.write_text("stock.example\n")
    assert whitelists.reload() == []
    files.clients.unlink()
    assert whitelists.reload() == [
        f"can't open {files.clients}: {NO_SUCH_FILE}",
        "the client whitelist stays as it was",
    ]
    assert lists_client(whitelists, "stock.example")

    files.recipients.unlink()
    whitelists = read(files.settings)
    files.recipients.write_text("stock@example.org\n")
    assert f"can't open {files.recipients}: {NO_SUCH_FILE}" not in whitelists.reload()
    files.recipients.unlink()
    assert "the recipient whitelist stays as it was" in whitelists.reload()
    assert whitelists.current.recipient.match("stock@example.org")


# Lists that an option names.


def test_lists_of_options_are_there_only_where_they_are_named(files: Files, tmp_path: Path) -> None:
    current = read(files.settings).current
    assert (current.greylisted, current.untrusted) == (None, None)
    only, never = tmp_path / "only", tmp_path / "never"
    only.write_text("bob@example.org\nnot an address\n")
    never.write_text("forwarder.example\n")
    settings = replace(files.settings, greylist_recipients=(str(only),), never_trust_clients=(str(never),))
    whitelists = read(settings)
    assert [text for text in whitelists.complaints if text.startswith(f"{only} line 2: ")]
    assert whitelists.summary() == (
        "whitelists: 1 entry for clients, 1 entry for recipients, 1 entry for greylisted recipients"
        " and 1 entry for clients never to trust in force, 1 line not used"
    )
    assert whitelists.current.greylisted is not None
    assert whitelists.current.greylisted.match("bob@example.org")
    # It stays as it was when it can't be read any more.
    make_unreadable(only)
    assert "the list of greylisted recipients stays as it was" in whitelists.reload()
    assert whitelists.current.greylisted.match("bob@example.org")


def test_list_of_an_option_that_can_not_be_read_is_empty(files: Files, tmp_path: Path) -> None:
    whitelists = read(replace(files.settings, greylist_recipients=(str(tmp_path / "nowhere"),)))
    assert any("nowhere" in text for text in whitelists.complaints)
    assert whitelists.current.greylisted is not None
    assert not whitelists.current.greylisted.match("bob@example.org")
