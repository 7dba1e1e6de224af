#!/bin/bash
# Fuzzes the parsers of untrusted input, each target for SECONDS_EACH seconds, or RUNS inputs:
#
#     make fuzz [SECONDS_EACH=60] [RUNS=10000000] [TARGETS="dns stream tls quic http http2 socks dtls hosts policy"] [KEEP=1]
#
# It starts from fuzz/corpus. KEEP=1 adds short inputs that reach new code to it, which
# tests/corpus.rs replays. An input that breaks a target is left in fuzz/artifacts.
# cargo-fuzz and all inputs found so far are kept in the user's cache.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh build fuzz

cache=${XDG_CACHE_HOME:-$HOME/.cache}/egrets-fuzz
tools=$cache/bin
if [ ! -x "$tools/cargo-fuzz" ]; then
	scripts/cargo.sh install --quiet --locked --root "$cache" cargo-fuzz@0.13.2
fi
# Allows its nightly flags on a stable compiler, except for the sanitizers.
export RUSTC_BOOTSTRAP=1 PATH=$PATH:$tools

# fuzz TARGET CORPUS… [-- OPTION…]
fuzz() {
	nice -n 10 scripts/cargo.sh fuzz run --sanitizer none "$@"
}

# with RUNS, the time is no limit
limit=(-max_total_time="${SECONDS_EACH:-60}")
[ -z "${RUNS:-}" ] || limit=(-runs="$RUNS")

for target in ${TARGETS:-dns stream tls quic http http2 socks dtls hosts policy}; do
	found=$cache/$target kept=fuzz/corpus/$target
	mkdir -p "$found"
	echo "== $target"
	fuzz "$target" "$found" "$kept" -- "${limit[@]}" \
		-timeout=5 -rss_limit_mb=1024 -print_final_stats=1 -verbosity=0
	[ -z "${KEEP:-}" ] || fuzz "$target" "$kept" "$found" -- -merge=1 -use_counters=0 -max_len=200 -verbosity=0
done
