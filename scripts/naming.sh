#!/bin/bash
# Runs the tests of naming, on this kernel and in a virtual machine on another one
# with kernel probes, and writes how often names were right, missing and wrong into
# the table of docs/naming.md:
#
#     make naming [KERNELS=6.12]
#
# The last line is the sum of the tests of both.
set -euo pipefail
cd "$(dirname "$0")/.."

export KERNELS=${KERNELS:-6.12} SETS=kprobe SKIP='' TESTS='naming forged resolvers sources docker'
here=$(uname -r | cut -d . -f 1,2)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

status=0
# shellcheck disable=SC2086 # one word a test
scripts/test.sh $TESTS | sed -u 's/^naming: /& '"$here"', portable | /' | tee "$log" || status=1
scripts/kernels.sh | tee -a "$log" || status=1
if [ $status = 0 ]; then
	awk -f scripts/naming.awk "$log" >"$log.table"
	sed -i -e "/^<!-- what follows/,/^<!-- up to here/{/^<!--/!d}" \
		-e "/^<!-- what follows/r $log.table" docs/naming.md
	rm "$log.table"
fi
sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2/p' "$log" |
	awk '{ passed += $1; failed += $2 } END { print passed + 0 " passed, " failed + 0 " failed" }'
exit $status
