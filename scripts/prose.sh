#!/bin/bash
# Fails on words that docs/glossary.md has replaced: codespell, with the project's own list of
# words and phrases as its dictionary.
set -euo pipefail
cd "$(dirname "$0")/.."
words=scripts/retired-words.txt

# the user of that name, and what people may type as a question; the table of such is left out
known='reuid=nobody|nothing\|no[b]ody\|none|whoev[e]r\|whichever|"(any|some|every|no)body"|did somebody|is anybody'
# codespell looks up what this expression finds: a phrase of the list, else a word
phrases=$(sed -n 's/^\(.* .*\)->.*/\1/p' $words | paste -sd '|')
git ls-files -z -- ':!fuzz/corpus' ':!src/query/tests/typed.txt' ':!Cargo.lock' ':!bpf/vmlinux.h' ':!third_party' ":!$words" |
	xargs -0 codespell --dictionary $words --regex "\\b(?:$phrases)\\b|[A-Za-z]+" \
		--ignore-regex "$known"
