#!/bin/bash
# Builds the tests as the user who called sudo, runs them as root, and adds up:
# the last line is "N passed, N failed" over all topics. Arguments name topics,
# such as "naming"; without any, all run, and scripts/tables.sh reads their log.
#
# A topic is a module of tests/main.rs, and a process; "unit" are the tests in src/.
# Most tests wait more than they compute, so two topics run at a time.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build test
scripts/tools.sh

# What enforces a policy, stops a daemon, floods the host, or counts all that it loses: beside
# these, nothing else records. The last have little time for what they do.
ALONE='attacks config policy policy_names policy_pin docker forged loss hooks cli completion'
# These need no quiet host, and use the time that those leave.
READERS='unit alert corpus engines export fleet history reader report rooms serve'

built=$(scripts/cargo.sh test --no-run --features parquet --message-format=json-render-diagnostics)
# executables KIND: of the artifacts of that kind that are tests
executables() {
	sed -nE "s/.*\"kind\":\[\"$1\"\].*\"test\":true\},\"features\":.*\"executable\":\"([^\"]*)\".*/\\1/p" <<<"$built"
}
integration=$(executables test)
units=$(executables lib)
mapfile -t topics < <("$integration" --list --format terse | sed -n 's/::.*: test$//p' | sort -u)
topics=(unit "${topics[@]}")
for name in "$@"; do
	[[ " ${topics[*]} " == *" $name "* ]] || { echo "test.sh: there are no tests called $name" >&2; exit 2; }
done
[ $# = 0 ] || topics=("$@")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
all=/dev/null
if [ $# = 0 ]; then
	all=${CARGO_TARGET_DIR:-target}/tmp/logs/test.log
	mkdir -p "$(dirname "$all")"
	: >"$all"
fi
export RUST_TEST_THREADS=2 INSTA_UPDATE=no INSTA_WORKSPACE_ROOT=$PWD

# run TOPIC: what it prints appears when it has ended, and its counts in $work
run() {
	local topic=$1 status=0 log=$work/$1 counts='0 1' command=("$integration" "$1::") start=$SECONDS
	[ "$topic" != unit ] || command=("$units")
	# these are ignored where there are no controllers of cgroup v1
	[[ $topic != runtimes || ! -d /sys/fs/cgroup/unified ]] || command+=(--include-ignored)
	scripts/topic.sh "${command[@]}" >"$log" 2>&1 || status=$?
	if [[ $(grep '^test result:' "$log" | tail -n 1) =~ ([0-9]+)\ passed\;\ ([0-9]+)\ failed ]]; then
		counts="${BASH_REMATCH[1]} ${BASH_REMATCH[2]}"
		# flaky ones
		[ $status != 0 ] || counts="$((BASH_REMATCH[1] + BASH_REMATCH[2])) 0"
		[ $status = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || counts="${BASH_REMATCH[1]} 1"
	else
		echo "$topic ended without a result, exit status $status" >>"$log"
	fi
	echo "$counts" >"$log.counts"
	{
		flock 9
		echo "== $topic, $((SECONDS - start)) s"
		cat "$log"
		cat "$log" >>"$all"
	} 9>"$work/lock"
}

# run_those TOPIC…: those that are wanted, one after the other
run_those() {
	local topic
	for topic in "$@"; do
		[[ " ${topics[*]} " != *" $topic "* ]] || run "$topic"
	done
}

# shellcheck disable=SC2086 # names
run_those $READERS &
# shellcheck disable=SC2086
run_those $ALONE
for topic in "${topics[@]}"; do
	[[ " $READERS $ALONE " != *" $topic "* ]] || continue
	[ "$(jobs -pr | wc -l)" -lt 2 ] || wait -n
	run "$topic" &
done
wait

mapfile -t counted < <(printf '%s\n' "$work"/*.counts)
[ ${#counted[@]} = ${#topics[@]} ] || { echo "test.sh: only ${#counted[@]} of ${#topics[@]} topics ended" >&2; exit 1; }
read -r passed failed < <(awk '{ passed += $1; failed += $2 } END { print passed, failed }' "${counted[@]}")
# what failed beside others, and passed twice alone
grep -h '^flaky: ' "$work"/* || true
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
