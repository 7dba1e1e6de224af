#!/bin/bash
# Builds the tests as the user who called sudo, runs them as root, and adds up:
# the last line is "N passed, N failed" over all runners. Arguments name runners,
# such as "naming"; without any, all run, and scripts/tables.sh reads their log.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build test
scripts/tools.sh

built=$(scripts/cargo.sh test --no-run --message-format=json-render-diagnostics)
# the artifacts that are tests, not the tools and the program that they run
mapfile -t runners < <(sed -n 's/.*"test":true},"features":.*"executable":"\([^"]*\)".*/\1/p' <<<"$built")
wanted=()
if [ $# -gt 0 ]; then
	for name in "$@"; do
		mapfile -t -O "${#wanted[@]}" wanted < <(printf '%s\n' "${runners[@]}" | grep -E "/$name-[0-9a-f]+\$")
	done
	runners=("${wanted[@]}")
fi
[ ${#runners[@]} -gt 0 ] || { echo "test.sh: there are no tests${1:+ called $*}" >&2; exit 2; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
all=/dev/null
if [ $# = 0 ]; then
	all=${CARGO_TARGET_DIR:-target}/tmp/logs/test.log
	mkdir -p "$(dirname "$all")"
	: >"$all"
fi
export RUST_TEST_THREADS=2 INSTA_UPDATE=no INSTA_WORKSPACE_ROOT=$PWD
passed=0 failed=0
for runner in "${runners[@]}"; do
	echo "== ${runner##*/}"
	# Not through a pipe, which a daemon that a test left behind would keep open.
	# A shell's background jobs ignore Ctrl-C, and the tests send it: env mends that.
	: >"$log" # not below: tail would take it for a new file
	more=()
	# these are ignored where there are no controllers of cgroup v1
	[[ $runner != */runtimes-* || ! -d /sys/fs/cgroup/unified ]] || more=(--include-ignored)
	env --default-signal=INT "$runner" "${more[@]}" >>"$log" 2>&1 &
	pid=$!
	tail -n +1 -s 0.2 -f --pid=$pid "$log"
	status=0
	wait $pid || status=$?
	cat "$log" >>"$all"
	if [[ $(grep '^test result:' "$log" | tail -n 1) =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed ]]; then
		passed=$((passed + BASH_REMATCH[1]))
		failed=$((failed + BASH_REMATCH[2]))
		[ $status = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || failed=$((failed + 1))
	else
		echo "${runner##*/} ended without a result, exit status $status"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
