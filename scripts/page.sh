#!/bin/bash
# Puts a file between the two marks of a page, in the place of what is there:
#
#     page.sh PAGE FILE
set -euo pipefail
exec sed -i -e "/^<!-- what follows/,/^<!-- up to here/{/^<!--/!d}" \
	-e "/^<!-- what follows/r $2" "$1"
