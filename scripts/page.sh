#!/bin/bash
# Replaces what is between the two marks of a page by a file:
#
#     page.sh PAGE FILE
set -euo pipefail
exec sed -i -e "/^<!-- what follows/,/^<!-- up to here/{/^<!--/!d}" \
	-e "/^<!-- what follows/r $2" "$1"
