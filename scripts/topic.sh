#!/bin/bash
# Runs tests, COMMAND with its arguments, and each that failed twice more, alone:
#
#     topic.sh COMMAND [ARGUMENT…]
#
# Tests share the machine, and a busy one can be too late for what a test waits for. One that
# passes both times alone is said to be flaky, by a line "flaky: NAME", and does not fail the
# run; what it printed when it failed is there to be read. More than three failures are no
# accident, and are not tried again.
set -uo pipefail

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Not through a pipe, which a daemon that a test left behind would keep open. A shell's
# background jobs ignore Ctrl-C, and the tests send it: env mends that.
env --default-signal=INT "$@" >"$log" 2>&1 &
pid=$!
tail -n +1 -f -s 0.2 --pid=$pid "$log"
wait $pid
status=$?
[ $status != 0 ] || exit 0

mapfile -t failed < <(sed -nE '/^failures:$/,/^test result/s/^    ([a-z0-9_]+(::[a-z0-9_]+)+)$/\1/p' "$log" | sort -u)
[ ${#failed[@]} -gt 0 ] && [ ${#failed[@]} -le 3 ] || exit $status
for name in "${failed[@]}"; do
	for _ in 1 2; do
		RUST_TEST_THREADS=1 env --default-signal=INT "$1" --include-ignored --exact "$name" >"$log" 2>&1 || {
			sed 's/^/again: /' "$log"
			exit $status
		}
	done
	echo "flaky: $name"
done
