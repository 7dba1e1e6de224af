# Makes the table of docs/naming.md from the tests of naming. Input: their lines
# "naming: WHERE | case | right | missing | wrong".

BEGIN { FS = " *[|] *" }
/^naming: / {
	where = substr($1, 9)
	gsub(/^ +| +$/, "", where)
	if (!(where in place)) {
		place[where] = 1
		places[++m] = where
	}
	if (!($2 in seen)) {
		seen[$2] = 1
		cases[++n] = rank[$2] = $2
	}
	right[$2, where] += $3
	missing[$2, where] += $4
	wrong[$2, where] += $5
}

END {
	printf "\n| case |"
	for (j = 1; j <= m; j++)
		printf " right on Linux %s | missing | wrong |", places[j]
	printf "\n| --- |"
	for (j = 1; j <= m; j++)
		printf " ---: | ---: | ---: |"
	# the tests run side by side: in the order of their names
	sort(cases, rank, n)
	for (i = 1; i <= n; i++) {
		printf "\n| %s |", cases[i]
		for (j = 1; j <= m; j++) {
			key = cases[i] SUBSEP places[j]
			if (key in right)
				printf " %d | %d | %d |", right[key], missing[key], wrong[key]
			else
				printf " | | |"
		}
	}
	print "\n"
}
