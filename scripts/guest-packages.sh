#!/bin/bash
# Installs the files of a release, which are in /release, in a test machine (scripts/kernels.sh), records a
# curl with each, and removes it. Reports as the tests do.
set -uo pipefail

passed=0 failed=0 failures=
check() { # check NAME COMMAND…
	local out
	if out=$("${@:2}" 2>&1); then
		echo "test packages::$1 ... ok"
		passed=$((passed + 1))
	else
		echo "test packages::$1 ... FAILED"
		failures+="---- packages::$1"$'\n'$out$'\n'
		failed=$((failed + 1))
	fi
}
says() { # says TEXT COMMAND…
	local out
	out=$("${@:2}" 2>&1) || true
	[[ $out == *"$1"* ]] || { echo "$out"; return 1; }
}
records() { # records PROGRAM: what a curl fetched, and from which name
	rm -rf /tmp/packages/history
	says hello "$1" record --db /tmp/packages/history/e.db -- curl --silent http://web.test:8080/ &&
		says web.test "$1" query --db /tmp/packages/history/e.db what did curl talk to
}
absent() { [ ! -e "$1" ]; }

mkdir -p /tmp/packages/web
echo hello >/tmp/packages/web/index.html
busybox httpd -p 127.0.0.1:8080 -h /tmp/packages/web
echo '127.0.0.1 web.test' >/etc/hosts
# nothing is installed here as dpkg knows it
mkdir -p /var/lib/dpkg/{info,updates,triggers}
touch /var/lib/dpkg/{status,available}

check deb_is_installed dpkg -i /release/*.deb
check deb_records records /usr/bin/egrets
check deb_is_purged dpkg --purge egrets
check deb_leaves_no_program absent /usr/bin/egrets

check archive_is_unpacked tar -xzf /release/*.tar.gz -C / --no-same-owner
check archive_records records /usr/bin/egrets
check archive_is_removed bash -c 'cd / && tar -tzf /release/*.tar.gz | xargs rm'
check archive_leaves_no_program absent /usr/bin/egrets

check program_alone_records records /release/egrets

if [ $failed = 0 ]; then
	verdict=ok
else
	verdict=FAILED
	printf 'failures:\n%s' "$failures"
fi
echo "test result: $verdict. $passed passed; $failed failed"
