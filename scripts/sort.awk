# Shared by the scripts that make tables.

# Puts the n items in the order of their ranks.
function sort(items, rank, n,    i, k, other)
{
	for (i = 2; i <= n; i++)
		for (k = i; k > 1 && rank[items[k]] < rank[items[k - 1]]; k--) {
			other = items[k]
			items[k] = items[k - 1]
			items[k - 1] = other
		}
}
