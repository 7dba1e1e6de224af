#!/bin/bash
# Fetches the chart library of the report's page from npm into third_party/uplot, with its
# licence. Run it after a change of the version and its checksum below, which 'npm view
# uplot@VERSION dist.integrity' shows.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.6.32
integrity=KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw==

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
npm pack --silent --pack-destination "$dir" "uplot@$version" >/dev/null
package=$dir/uplot-$version.tgz
found=$(openssl dgst -sha512 -binary "$package" | base64 --wrap=0)
if [ "$found" != "$integrity" ]; then
	echo "uplot $version has the checksum sha512-$found, and not the one in $0" >&2
	exit 1
fi
tar -xzf "$package" -C "$dir"
mkdir -p third_party/uplot
cp "$dir"/package/{LICENSE,dist/uPlot.iife.min.js,dist/uPlot.min.css} third_party/uplot/
chmod 644 third_party/uplot/*
