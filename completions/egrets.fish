# fish completion for egrets. The program itself computes the completions: it knows its options
# and grammar and reads the history.

function __egrets_words
	set -l words (commandline -opc)
	set -l typed (commandline -ct)
	command egrets complete-words --shell fish -- $words[2..-1] "$typed" 2>/dev/null
end

function __egrets_wants_a_file
	__egrets_words >/dev/null
	test $status = 3
end

complete -c egrets -f
complete -c egrets -f -a '(__egrets_words)'
complete -c egrets -F -n __egrets_wants_a_file
