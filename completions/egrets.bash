# bash completion of egrets. What may follow is for the program to say: it knows its
# options and its grammar, and reads the history. The one in PATH is asked, and never
# another that happens to have its name.

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
