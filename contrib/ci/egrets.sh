#!/bin/bash
# Records commands of a CI job, and reports whom they talked to:
#
#     egrets.sh run      INPUT_RUN, commands for bash, and ends with their exit status
#     egrets.sh start    all that follows, of the whole machine, until
#     egrets.sh stop     which ends that and reports it
#
# It is what action.yml runs on GitHub, and the examples for GitLab and Jenkins beside it. It
# needs root, or sudo without a password, for the recorder alone: commands run as who calls it.
#
#     INPUT_HISTORY    the history's file; egrets.db in the runner's directory for temporary files,
#                      or else in the current one
#     INPUT_POLICY     a policy to judge connections by, INPUT_ENFORCE=true carries it out
#     INPUT_FAIL_ON    alert or block: then run fails with status 3, as 'record --fail-on'
#     INPUT_BASELINE   the history of an earlier run, to say what is new since then
#     INPUT_SUMMARY    a file that gets the report as Markdown; on GitHub, the job's summary
#     INPUT_EGRETS     the program; else it is on the PATH
#     INPUT_DOWNLOAD   else a URL below which it is, as egrets-x86_64 or egrets-aarch64, beside its SHA256SUMS
set -euo pipefail

temp=${RUNNER_TEMP:-${TMPDIR:-/tmp}}
history=${INPUT_HISTORY:-${RUNNER_TEMP:-$PWD}/egrets.db}
summary=${INPUT_SUMMARY:-${GITHUB_STEP_SUMMARY:-}}
# Of a recording in the background: its messages, and its pid. Beside the history, which is in no
# directory that others write to.
log=$history.log pidfile=$history.pid
root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)

fail() {
	echo "egrets.sh: $*" >&2
	exit 2
}

# The program, downloaded if need be.
find_egrets() {
	if [ -n "${INPUT_EGRETS:-}" ]; then
		egrets=$INPUT_EGRETS
		[ -x "$egrets" ] || fail "INPUT_EGRETS: $egrets is no program"
		return
	fi
	if egrets=$(command -v egrets); then
		return
	fi
	[ -n "${INPUT_DOWNLOAD:-}" ] || fail "egrets is not installed: install it, or set INPUT_EGRETS or INPUT_DOWNLOAD"
	local name dir
	name=egrets-$(uname -m)
	dir=$(mktemp -d "$temp/egrets.XXXXXX")
	curl -fsSL --retry 3 -o "$dir/$name" "$INPUT_DOWNLOAD/$name" || fail "can't download $INPUT_DOWNLOAD/$name"
	curl -fsSL --retry 3 -o "$dir/SHA256SUMS" "$INPUT_DOWNLOAD/SHA256SUMS" || fail "can't download $INPUT_DOWNLOAD/SHA256SUMS"
	# exactly one line is about this file, and it has to be right
	(cd "$dir" && awk -v name="$name" '$2 == name || $2 == "*" name' SHA256SUMS >sum &&
		[ "$(wc -l <sum)" = 1 ] && sha256sum -c --quiet sum) ||
		fail "the checksum of $name is not that in $INPUT_DOWNLOAD/SHA256SUMS"
	chmod 755 "$dir/$name"
	egrets=$dir/$name
}

# Options of the recording.
options() {
	recording=(--db "$history")
	[ -z "${INPUT_POLICY:-}" ] || recording+=(--policy "$INPUT_POLICY")
	case ${INPUT_ENFORCE:-} in
	true)
		[ -n "${INPUT_POLICY:-}" ] || fail "INPUT_ENFORCE needs INPUT_POLICY"
		recording+=(--enforce)
		;;
	'' | false) ;;
	*) fail "INPUT_ENFORCE: true or false, not $INPUT_ENFORCE" ;;
	esac
}

# report STATUS: to the job's summary and its outputs; the status stays.
report() {
	local baseline=()
	if [ -n "${INPUT_BASELINE:-}" ]; then
		if [ -e "$INPUT_BASELINE" ]; then
			baseline=(--baseline "$INPUT_BASELINE")
		else
			echo "egrets.sh: there is no $INPUT_BASELINE yet: nothing is said to be new" >&2
		fi
	fi
	if [ -e "$history" ]; then
		if [ -n "$summary" ]; then
			"$egrets" report --db "$history" --markdown "${baseline[@]}" >>"$summary"
		else
			"$egrets" report --db "$history" --markdown "${baseline[@]}"
		fi
		[ -z "${GITHUB_OUTPUT:-}" ] || echo "history=$history" >>"$GITHUB_OUTPUT"
	fi
	exit "$1"
}

case ${1:-} in
run)
	[ -n "${INPUT_RUN:-}" ] || fail "INPUT_RUN: no commands"
	find_egrets
	options
	[ -z "${INPUT_FAIL_ON:-}" ] || recording+=(--fail-on "$INPUT_FAIL_ON")
	status=0
	# sudo takes the environment away, and the commands need it: they get it from a file.
	# shellcheck disable=SC2016 # of the inner shell
	inner='. "$1"; rm -f "$1"; cd "$2" && exec bash -eo pipefail -c "$3"'
	environment=$(mktemp "$temp/egrets.XXXXXX")
	trap 'rm -f "$environment"' EXIT
	trap 'exit 143' INT TERM
	export -p >"$environment"
	"${root[@]}" "$egrets" record "${recording[@]}" -- \
		bash -c "$inner" egrets "$environment" "$PWD" "$INPUT_RUN" || status=$?
	report "$status"
	;;
start)
	[ -z "${INPUT_FAIL_ON:-}" ] || fail "INPUT_FAIL_ON is for run alone"
	case $(stat -c %A "$(dirname "$history")") in
	????????w*) fail "$(dirname "$history"): any user can write to it: another directory for INPUT_HISTORY" ;;
	esac
	find_egrets
	options
	# who calls this may read the history, and so may the steps after it
	recording+=(--group "$(id -g)")
	# shellcheck disable=SC2016 # of the inner shell
	"${root[@]}" setsid -f bash -c 'echo $$ >"$1"; exec "${@:3}" >"$2" 2>&1 </dev/null' egrets \
		"$pidfile" "$log" "$egrets" record "${recording[@]}"
	for _ in {1..300}; do
		! "${root[@]}" grep -qs 'recording into' "$log" || exit 0
		sleep 0.1
		[ -s "$pidfile" ] || continue
		"${root[@]}" kill -0 "$(<"$pidfile")" 2>/dev/null || {
			"${root[@]}" cat "$log" >&2
			fail "the recorder has not started"
		}
	done
	fail "the recorder has not started within 30 s: $log"
	;;
stop)
	find_egrets
	[ -e "$pidfile" ] || fail "no recording was started on $history"
	pid=$(<"$pidfile")
	[[ $pid =~ ^[1-9][0-9]*$ ]] || fail "$pidfile has no process id"
	"${root[@]}" kill -INT "$pid" || fail "the recorder has ended: $("${root[@]}" cat "$log")"
	for _ in {1..600}; do
		"${root[@]}" kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	! "${root[@]}" kill -0 "$pid" 2>/dev/null || fail "the recorder does not end within a minute: $log"
	"${root[@]}" chown -h "$(id -u):$(id -g)" "$log"
	"${root[@]}" rm -f "$pidfile"
	report 0
	;;
*)
	fail "run, start or stop"
	;;
esac
