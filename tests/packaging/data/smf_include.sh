# SPDX-License-Identifier: GPL-2.0-or-later
#
# As much of illumos's /lib/svc/share/smf_include.sh as svc-postgrey uses, for the tests. A contract is the process
# whose number it is.

SMF_EXIT_OK=0
SMF_EXIT_ERR_FATAL=95
SMF_EXIT_ERR_CONFIG=96

# smf_kill_contract CONTRACT SIGNAL [WAIT [TIMEOUT]]: 1 for no contract, 2 when there is still something in it.
smf_kill_contract() {
    case "$1" in
        '' | *[!0-9]*) return 1 ;;
    esac
    [ -d "/proc/$1" ] || return 0
    kill "-$2" "$1" || return 1
    [ "${3:-0}" -ne 0 ] || return 0
    waited=0
    while [ -d "/proc/$1" ]; do
        [ "$waited" -lt "$((${4:-0} * 50))" ] || return 2
        sleep 0.02
        waited=$((waited + 1))
    done
}
