#!/bin/bash
# Runs tests that say what they have measured, here and in a virtual machine on another
# kernel, and writes the table of a page anew:
#
#     measure.sh PAGE TEST…
#
# What they measured are lines "PAGE: …"; scripts/PAGE.awk makes the table of
# docs/PAGE.md of them. SETS names the hook sets, KERNELS the other kernels. The last
# line is the sum of the tests of all.
set -euo pipefail
cd "$(dirname "$0")/.."

page=$1
tests=("${@:2}")
# of Docker's daemon no name depends on the kernel
export KERNELS=${KERNELS:-6.12} SETS=${SETS:-kprobe tracepoint} SKIP='--skip a_daemon_that' TESTS="${tests[*]}"
here=$(uname -r | cut -d . -f 1,2)
log=$(mktemp)
trap 'rm -f "$log" "$log.table"' EXIT

sets=()
for set in $SETS; do
	# kernel probes are the kernel's to have
	[ -e /sys/bus/event_source/devices/kprobe ] || set=tracepoint
	[[ " ${sets[*]} " == *" $set "* ]] || sets+=("$set")
done
status=0
for set in "${sets[@]}"; do
	EGRETS_HOOKS=$set scripts/test.sh "${tests[@]}" |
		sed -u "s/^$page: /&$here, $set | /" | tee -a "$log" || status=1
done
scripts/kernels.sh | tee -a "$log" || status=1
if [ $status = 0 ]; then
	awk -f scripts/sort.awk -f "scripts/$page.awk" "$log" >"$log.table"
	scripts/page.sh "docs/$page.md" "$log.table"
fi
sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log" |
	awk '{ passed += $1; failed += $2 } END { print passed + 0 " passed, " failed + 0 " failed" }'
exit $status
