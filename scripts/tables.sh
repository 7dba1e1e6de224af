#!/bin/bash
# Writes the tables of docs/naming.md, docs/coverage.md and docs/security.md from what the last 'make test'
# and 'make test-all-kernels' measured; it runs no test itself:
#
#     tables.sh [naming] [coverage] [security]
#
# What the tests measured are lines "PAGE: …" of their logs; scripts/PAGE.awk makes the
# table of docs/PAGE.md of them.
set -euo pipefail
cd "$(dirname "$0")/.."

logs=${CARGO_TARGET_DIR:-target}/tmp/logs
[ -e "$logs/test.log" ] || { echo "tables.sh: there is no log of 'sudo make test' in $logs" >&2; exit 2; }
# kernel probes are the kernel's to have
hooks=tracepoint
[ ! -e /sys/bus/event_source/devices/kprobe ] || hooks=kprobe
measured=$(mktemp)
trap 'rm -f "$measured" "$measured.table"' EXIT

[ $# -gt 0 ] || set -- naming coverage security
for page in "$@"; do
	sed -n "s/^$page: /&$(uname -r | cut -d . -f 1,2), $hooks | /p" "$logs/test.log" >"$measured"
	for log in "$logs"/kernel-*.log; do
		# other tests measure a few of the same things, on every kernel
		grep -qx "guest: test $page" "$log" 2>/dev/null || continue
		kernel=${log##*/kernel-}
		awk -v page="$page: " -v kernel="${kernel%.log}" '
			/^guest: set / { hooks = $3 }
			index($0, page) == 1 { print page kernel ", " hooks " | " substr($0, length(page) + 1) }' "$log"
	done >>"$measured"
	awk -f scripts/sort.awk -f "scripts/$page.awk" "$measured" >"$measured.table"
	scripts/page.sh "docs/$page.md" "$measured.table"
	echo "docs/$page.md: $(wc -l <"$measured") measurements"
done
