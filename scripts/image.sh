#!/bin/bash
# Builds a container image with the static program and nothing else, without a daemon and without
# network: a tar archive that is an OCI layout, and that 'docker load' and 'podman load' read.
# Equal programs make equal images.
#
#     scripts/image.sh       target/packages/egrets_VERSION_ARCH.image.tar, as egrets:VERSION
#
# EGRETS_STATIC names a program that was built before, ARCH another architecture than this one.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
arch=${ARCH:-$(dpkg --print-architecture)}
program=$(scripts/program.sh)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
created=$(date -ud "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
export LC_ALL=C
umask 022

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
blobs=$root/image/blobs/sha256
mkdir -p "$root/layer" "$blobs" "$target/packages"

# archive DIR: as a tar that says nothing about this machine
archive() {
	find "$root/layer" "$root/image" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
	tar -C "$1" --sort=name --owner=0 --group=0 --numeric-owner --format=gnu -cf - .
}
# blob: puts what it reads at its place; prints its digest
blob() {
	local file sum
	file=$(mktemp -p "$blobs")
	cat >"$file"
	sum=$(sha256sum "$file" | cut -d ' ' -f 1)
	mv "$file" "$blobs/$sum"
	chmod 644 "$blobs/$sum"
	echo "$sum"
}
descriptor() { # descriptor TYPE DIGEST
	printf '{"mediaType":"%s","digest":"sha256:%s","size":%d' "$1" "$2" "$(stat -c %s "$blobs/$2")"
}

# The paths of a host's files that containers are named by are to be mounted; the history's is a
# volume. Temporary files of SQLite are kept in memory.
install -D -m 755 "$program" "$root/layer/usr/bin/egrets"
install -d -m 700 "$root/layer/var/lib/egrets"
install -D -m 644 contrib/egrets.toml "$root/layer/etc/egrets/egrets.toml"
mkdir -p "$root/layer/etc/egrets/conf.d"
install -d -m 1777 "$root/layer/tmp"
layer=$(archive "$root/layer" | blob)
config=$(
	cat <<-END | blob
		{"architecture":"$arch","os":"linux","created":"$created","config":{"Entrypoint":["/usr/bin/egrets"],"Cmd":["record"],"Env":["PATH=/usr/bin"],"Volumes":{"/var/lib/egrets":{}},"Labels":{"org.opencontainers.image.title":"egrets","org.opencontainers.image.version":"$version","org.opencontainers.image.licenses":"BSD-2-Clause"}},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},"history":[{"created":"$created","created_by":"scripts/image.sh"}]}
	END
)
oci=application/vnd.oci.image
manifest=$(
	cat <<-END | blob
		{"schemaVersion":2,"mediaType":"$oci.manifest.v1+json","config":$(descriptor "$oci.config.v1+json" "$config")},"layers":[$(descriptor "$oci.layer.v1.tar" "$layer")}]}
	END
)
name=egrets:$version
cat >"$root/image/index.json" <<-END
	{"schemaVersion":2,"mediaType":"$oci.index.v1+json","manifests":[$(descriptor "$oci.manifest.v1+json" "$manifest"),"platform":{"architecture":"$arch","os":"linux"},"annotations":{"io.containerd.image.name":"docker.io/library/$name","org.opencontainers.image.ref.name":"$version"}}]}
END
echo '{"imageLayoutVersion":"1.0.0"}' >"$root/image/oci-layout"
# what daemons read that know no OCI layouts
cat >"$root/image/manifest.json" <<-END
	[{"Config":"blobs/sha256/$config","RepoTags":["$name"],"Layers":["blobs/sha256/$layer"]}]
END
image=$target/packages/egrets_${version}_$arch.image.tar
archive "$root/image" >"$image"
# a build as the user goes on there
[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$target/packages"
(cd "$target/packages" && sha256sum "${image##*/}")
