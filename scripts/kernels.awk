# Makes the tables of docs/kernels.md from the machines of scripts/kernels.sh.
# Input: the logs, in the order of the kernels.

/^guest: .* is up/ { kernel = $2; kernels[++n] = kernel; mptcp[kernel] = "no" }
/^guest: has mptcp/ { mptcp[kernel] = "yes" }
/^guest: set / { set = $3; test = "" }
/^guest: test / { test = $3 }
/^test result: / && test { passed[kernel, set] += $4 }
/^flaky: / { passed[kernel, set]++ }
/^  (ok|missing) .*\// && !test {
	hooks[kernel, set]++
	if ($1 == "ok")
		attached[kernel, set]++
	hook = $2
	if (!(hook in seen)) {
		seen[hook] = 1
		order[++m] = hook
	}
	bytes[hook, kernel] = $3
	verified[hook, kernel] = $5
}

# 1234567 as 1,234,567
function grouped(number) {
	while (match(number, /[0-9][0-9][0-9][0-9]($|,)/))
		number = substr(number, 1, RSTART) "," substr(number, RSTART + 1)
	return number
}

END {
	print "\n| kernel | hook set | hooks attached | tests passed | has MPTCP |"
	print "| --- | --- | --- | --- | --- |"
	split("kprobe tracepoint", sets, " ")
	for (i = 1; i <= n; i++)
		for (j = 1; j <= 2; j++) {
			key = kernels[i] SUBSEP sets[j]
			printf "| %s | %s | %d of %d | %d | %s |\n", kernels[i], sets[j], \
				attached[key], hooks[key], passed[key], mptcp[kernels[i]]
		}
	print "\nThe programs: bytes of BPF code on the newest kernel, and the instructions that the"
	print "verifier looked at on each, of a million that it allows.\n"
	printf "| hook | bytes |"
	for (i = 1; i <= n; i++) {
		split(kernels[i], v, /[.]/)
		printf " %s.%s |", v[1], v[2]
	}
	printf "\n| --- | ---: |"
	for (i = 1; i <= n; i++)
		printf " ---: |"
	for (j = 1; j <= m; j++) {
		printf "\n| %s | %s |", order[j], grouped(bytes[order[j], kernels[n]])
		for (i = 1; i <= n; i++)
			printf " %s |", grouped(verified[order[j], kernels[i]])
	}
	print "\n"
}
