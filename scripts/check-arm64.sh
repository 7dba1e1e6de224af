#!/bin/bash
# Checks the program and its BPF objects for arm64, so that no line of them assumes x86, without a test
# there. The compiler may be another than clippy's (scripts/cross.sh). What is compiled on the way, SQLite
# for one, runs nowhere, and is not optimized.
set -euo pipefail
cd "$(dirname "$0")/.."

cross=$(scripts/cross.sh arm64)
eval "$cross"
unset RUSTC_WORKSPACE_WRAPPER
export CARGO_PROFILE_RELEASE_OPT_LEVEL=0
scripts/cargo.sh check --locked --release --target aarch64-unknown-linux-gnu
