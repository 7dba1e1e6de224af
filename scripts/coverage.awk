# Makes the table of docs/coverage.md from the tests of egress paths. Input: their lines
# "coverage: WHERE | way | protocol | seen | process right | bytes error". A way that was
# measured several times, over IPv4 and IPv6 for example, has the worst of it.

BEGIN { FS = " *[|] *" }
/^coverage: / {
	sub(/ @ \|/, "")
	where = substr($1, 11)
	if (!(where in place)) {
		place[where] = 1
		places[++m] = where
	}
	way = $2 " | " $3
	if (!(way in rank)) {
		rank[way] = $3 SUBSEP $2
		ways[++n] = way
	}
	key = way SUBSEP where
	if (!(key in seen)) {
		seen[key] = $4
		own[key] = $5
		error[key] = $6
	}
	if ($4 == "no")
		seen[key] = "no"
	if ($5 == "no")
		own[key] = "no"
	if ($6 + 0 > error[key] + 0)
		error[key] = $6
}

END {
	printf "\n| path | protocol |"
	for (j = 1; j <= m; j++)
		printf " Linux %s |", places[j]
	printf "\n| --- | --- |"
	for (j = 1; j <= m; j++)
		printf " --- |"
	# the tests run side by side: by protocol, and in the order of their names
	sort(ways, rank, n)
	for (i = 1; i <= n; i++) {
		printf "\n| %s |", ways[i]
		for (j = 1; j <= m; j++) {
			key = ways[i] SUBSEP places[j]
			if (!(key in seen))
				printf " |"
			else if (seen[key] == "yes")
				printf " yes, %s, %s |", own[key], error[key]
			else
				printf " %s |", seen[key]
		}
	}
	print "\n"
}
