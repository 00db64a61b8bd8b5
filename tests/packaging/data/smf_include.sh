# SPDX-License-Identifier: GPL-2.0-or-later
#
# As much of illumos's /lib/svc/share/smf_include.sh as svc-postgrey uses, for the tests. A contract is the process
# whose number it is.
# shellcheck shell=sh disable=SC2034

SMF_EXIT_OK=0
SMF_EXIT_ERR_FATAL=95
SMF_EXIT_ERR_CONFIG=96

# smf_kill_contract CONTRACT SIGNAL [WAIT [TIMEOUT]]: 1 for no contract, 2 when there is still something in it. Without
# TIMEOUT, in seconds, there is no end to waiting.
smf_kill_contract() {
    case "$1" in
        '' | *[!0-9]*) return 1 ;;
    esac
    [ -d "/proc/$1" ] || return 0
    # The program: ksh93's own kill lets a stopped process go on.
    env kill "-$2" "$1" || return 1
    [ "${3:-0}" -ne 0 ] || return 0
    waited=0
    while [ -d "/proc/$1" ]; do
        [ "${4:-0}" -eq 0 ] || [ "$waited" -lt "$(($4 * 50))" ] || return 2
        sleep 0.02
        waited=$((waited + 1))
    done
}
