#!/bin/bash
# Records into the default history and prints. Ctrl-C goes to make, to this shell
# and to egrets, which exits with success; the shell ignores it, so that make sees no error.
set -euo pipefail
cd "$(dirname "$0")/.."

trap : INT
status=0
"${CARGO_TARGET_DIR:-target}/release/egrets" record --print || status=$?
exit $status
