#!/bin/bash
# Builds the tests as the user who called sudo, runs them as root, and adds up:
# the last line is "N passed, N failed" over all runners. Arguments name runners,
# such as "naming"; without any, all run, and scripts/tables.sh reads their log.
#
# Most tests wait more than they compute, so two runners run at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build test
scripts/tools.sh

# What enforces a policy, stops a daemon, floods the host, or counts all that it loses: beside
# these, nothing else records. The last have little time for what they do.
ALONE='attacks policy policy_names docker forged loss hooks cli completion'
# These need no quiet host, and use the time that those leave.
READERS='corpus egrets engines export history reader rooms serve top'

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

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
all=/dev/null
if [ $# = 0 ]; then
	all=${CARGO_TARGET_DIR:-target}/tmp/logs/test.log
	mkdir -p "$(dirname "$all")"
	: >"$all"
fi
export RUST_TEST_THREADS=2 INSTA_UPDATE=no INSTA_WORKSPACE_ROOT=$PWD

# run RUNNER: what it prints appears when it has ended, and its counts in $work
run() {
	local runner=$1 status=0 log counts='0 1' more=() start=$SECONDS
	log=$work/${runner##*/}
	# these are ignored where there are no controllers of cgroup v1
	[[ $runner != */runtimes-* || ! -d /sys/fs/cgroup/unified ]] || more=(--include-ignored)
	# Not through a pipe, which a daemon that a test left behind would keep open.
	# A shell's background jobs ignore Ctrl-C, and the tests send it: env mends that.
	env --default-signal=INT "$runner" "${more[@]}" >"$log" 2>&1 || status=$?
	if [[ $(grep '^test result:' "$log" | tail -n 1) =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed ]]; then
		counts="${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
		[ $status = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || counts="${BASH_REMATCH[1]} 1"
	else
		echo "${runner##*/} ended without a result, exit status $status" >>"$log"
	fi
	echo "$counts" >"$log.counts"
	{
		flock 9
		echo "== ${runner##*/}, $((SECONDS - start)) s"
		cat "$log"
		cat "$log" >>"$all"
	} 9>"$work/lock"
}

# run_those NAME…: one after the other
run_those() {
	local name runner
	for name in "$@"; do
		for runner in "${runners[@]}"; do
			[[ $runner != */"$name"-* ]] || run "$runner"
		done
	done
}

# shellcheck disable=SC2086 # names
run_those $READERS &
# shellcheck disable=SC2086
run_those $ALONE
for runner in "${runners[@]}"; do
	name=${runner##*/}
	[[ " $READERS $ALONE " != *" ${name%-*} "* ]] || continue
	[ "$(jobs -pr | wc -l)" -lt 2 ] || wait -n
	run "$runner" &
done
wait

mapfile -t counted < <(printf '%s\n' "$work"/*.counts)
[ ${#counted[@]} = ${#runners[@]} ] || { echo "test.sh: only ${#counted[@]} of ${#runners[@]} runners ended" >&2; exit 1; }
read -r passed failed < <(awk '{ passed += $1; failed += $2 } END { print passed, failed }' "${counted[@]}")
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
