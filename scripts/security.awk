# Makes the table of docs/security.md from tests/attacks.rs. Input: its lines
# "security: WHERE | attack | victim's rows | CPU | MiB | lag".

BEGIN { FS = " *[|] *" }
/^security: / {
	if (!n++) {
		where = substr($1, 11)
		printf "\n| attack, on Linux %s | victim's right rows | recorder's CPU, s/s | memory, MiB | lag, s |\n", where
		print "| --- | ---: | ---: | ---: | ---: |"
	}
	printf "| %s | %s | %s | %s | %s |\n", $2, $3, $4, $5, $6
}

END { print "" }
