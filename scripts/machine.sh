#!/bin/bash
# Prints the kernel's name of ARCH, an architecture as Debian names it: by default this one's.
set -euo pipefail

arch=${ARCH:-$(dpkg --print-architecture)}
case $arch in
amd64) echo x86_64 ;;
arm64) echo aarch64 ;;
*) echo "machine.sh: ARCH: amd64 or arm64, not $arch" >&2; exit 2 ;;
esac
