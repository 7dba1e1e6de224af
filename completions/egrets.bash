# bash completion for egrets. The program itself computes the completions: it knows its
# options and grammar and reads the history. 'command' calls the program in PATH, never an
# alias or function of that name.

_egrets() {
	local found status
	found=$(command egrets complete-words --shell bash --breaks "$COMP_WORDBREAKS" \
		-- "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
	status=$?
	COMPREPLY=()
	if [ $status = 3 ]; then
		compopt -o default # a file
	elif [ -n "$found" ]; then
		mapfile -t COMPREPLY <<<"$found"
	fi
}
complete -F _egrets egrets
