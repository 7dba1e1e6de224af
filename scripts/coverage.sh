#!/bin/bash
# Runs the tests of ways out with every hook set that this kernel has, and writes
# what they measured into docs/coverage.md, between its two marks:
#
#     make coverage
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh root build test
built=$(scripts/cargo.sh test --no-run --test coverage --message-format=json-render-diagnostics)
scripts/cargo.sh build --examples
runner=$(sed -nE 's|.*"kind":\["test"\].*"executable":"([^"]*)".*|\1|p' <<<"$built")

out=$(mktemp)
trap 'rm -f "$out"' EXIT
for set in kprobe portable; do
	# kprobes are the kernel's to have: a set that is not there is no row
	if [ "$set" = kprobe ] && [ ! -e /sys/bus/event_source/devices/kprobe ]; then
		continue
	fi
	EGRETS_HOOKS=$set RUST_TEST_THREADS=1 "$runner" |
		sed -nE "s/^coverage: (.*)/| \1 |/; T; s/@/$set/p" >>"$out"
done
[ -s "$out" ] || {
	echo "coverage.sh: the tests measured nothing" >&2
	exit 1
}
{
	printf '\nOn Linux %s:\n\n' "$(uname -r | grep -oE '^[0-9]+\.[0-9]+')"
	echo '| way | hook set | protocol | seen | process right | bytes error, % |'
	echo '| --- | --- | --- | --- | --- | --- |'
	cat "$out"
	echo
} >"$out.table"
sed -i -e "/^<!-- what follows/,/^<!-- up to here/{/^<!--/!d}" \
	-e "/^<!-- what follows/r $out.table" docs/coverage.md
rm -f "$out.table"
