# SPDX-License-Identifier: GPL-2.0-or-later
# Everything a developer or a curious administrator needs; `make` alone lists the targets.

# The system's own Python, whose headers and modules the packages below bring; else the first one in PATH.
PYTHON ?= $(firstword $(wildcard /usr/bin/python3) python3)
PORT ?= 10023
# What pytest is given: `make test TESTS='tests/daemon -x'`.
TESTS ?= tests
# How many processes run tests side by side: most tests wait rather than compute. With 0 they run one after the other.
WORKERS ?= 3

# Debian's names. What the program needs to be built and to run:
RUN_PACKAGES = python3 python3-venv python3-dev gcc libc6-dev libdb5.3-dev
# What the tests need beside that: Perl Postgrey's modules, Berkeley DB's tools, a real Postfix, checkers of man pages,
# shell scripts and XML, the shell of illumos, time zones, a compressor, a browser; what makes Debian roots.
TEST_PACKAGES = $(RUN_PACKAGES) chromium-headless-shell perl db5.3-util postfix mandoc man-db procps mount zsh \
	ksh93u+m libxml2-utils shellcheck git iproute2 mmdebstrap netcat-openbsd nftables patch prometheus tzdata zstd \
	python3-bsddb3 libberkeleydb-perl libio-multiplex-perl libnet-dns-perl libnet-rblclient-perl libnet-server-perl \
	libnetaddr-ip-perl libparse-syslog-perl

# All but the completions, which are made from the parsers of options.
SHELL_SCRIPTS = $(shell grep -rlE '^\#!.*/(env )?(ba)?sh$$' .ci build-aux scripts) \
	$(wildcard debian/*.postinst debian/*.postrm debian/*.preinst debian/*.prerm) tests/packaging/data/smf_include.sh

# The Debian package is built in a root of this suite, by default that of this machine.
SUITE ?= $(shell . /etc/os-release && echo "$$VERSION_CODENAME")

PYTEST = .venv/bin/python -m pytest
REFERENCE = .reference/postgrey/usr/sbin/postgrey

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check lint proof bench dist deb clean empty-root test-setup test-packages .venv
# One apt-get and one pip at a time; pytest's output stays in order.
.NOTPARALLEL:

help:  ## list the targets
	@sed -n 's/^\([.a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

run: .venv  ## set everything up and serve on 127.0.0.1, port 10023 or PORT=number, in the foreground
	@exec build-aux/serve $(PORT)

.venv: .venv/.ready  ## build .venv/bin/postgrey, with the system packages this takes

test: test-setup  ## run all tests but the slow proofs (TESTS=what: only these); a skipped test is an error
	$(PYTEST) -n $(WORKERS) -m 'not proof' $(TESTS)

check: lint test  ## check all that `make lint` does, and run the tests

lint: test-setup  ## check format, lint, strict types, shell scripts and man pages
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	shellcheck $(SHELL_SCRIPTS)
	build-aux/lint-man man/*.[18]

proof: test-setup  ## run the slow proofs
	$(PYTEST) -m proof $(TESTS)

bench: test-setup  ## measure speed and stalls side by side with Perl Postgrey
	.venv/bin/python -m bench.speed
	.venv/bin/python -m bench.stall

# The wheel is made from the source distribution, so that what is missing there is missed at once. No build isolation:
# setuptools is that of .venv, and nothing is fetched. The time of the last commit is that of the wheel's files.
dist: .venv/.test-ready  ## build wheel and source distribution into dist/
	rm -rf dist postgrey_py.egg-info
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct 2>/dev/null || date +%s)} \
		.venv/bin/python -m build --no-isolation

deb:  ## build and test the Debian package in a Debian root, SUITE=name (as root, with mmdebstrap)
	build-aux/debian-package $(SUITE) build/debian/$(SUITE)-build build/debian/$(SUITE)-package
	@ls build/debian/$(SUITE)-package/*.deb

empty-root:  ## run .ci/run and `make run` in a new, minimal Debian root (as root, with mmdebstrap)
	build-aux/empty-root

clean:  ## remove .venv, .reference and what was built; never the database in var/
	rm -rf .venv .reference build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -d var ]; then echo 'var/ holds a database and is kept; remove it by hand if you mean it.'; fi

.venv/.ready: setup.cfg setup.py pyproject.toml $(wildcard scripts/postgrey*) build-aux/virtualenv
	@build-aux/system-packages $(RUN_PACKAGES)
	@build-aux/virtualenv $(PYTHON) .
	@touch $@

.venv/.test-ready: .venv/.ready
	@build-aux/virtualenv $(PYTHON) '.[test,check]'
	@touch $@

test-setup: test-packages .venv/.test-ready $(REFERENCE)

test-packages:
	@build-aux/system-packages $(TEST_PACKAGES)

$(REFERENCE):
	@build-aux/reference
