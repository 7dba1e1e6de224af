/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* From a name to the set of rules that have it, in a generation of the policy. */
#ifndef EGRETS_POLICY_NAMES_SET_H
#define EGRETS_POLICY_NAMES_SET_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "policy_names_maps.h"
#include "policy_names_types.h"

/* Of a name of so many labels, by the hashes of its suffixes: the longest one that is known. */
static __always_inline __u32 set_of_suffixes(const __u64 *suffixes, __u32 labels, __u32 generation)
{
	struct policy_name_key key = {.generation = generation};

	for (__u32 i = 0; i < POLICY_SUFFIXES; i++) {
		__u32 count = POLICY_SUFFIXES - i;

		if (count > labels)
			continue;
		key.hash = suffixes[count - 1];
		const struct policy_name *name = bpf_map_lookup_elem(&policy_names, &key);

		if (name)
			return count == labels ? name->exact : name->below;
	}
	return 0;
}

/*
 * Of a granted name; 0 if no rule has it. It is kept with the name, for the generation that it was
 * looked up in: a generation's names are complete before it decides anything.
 */
__noinline __u32 name_set(__u64 name, __u32 generation)
{
	struct policy_seen_name *seen = bpf_map_lookup_elem(&policy_seen_names, &name);
	__u64 kept_for = ((__u64)generation + 1) << 32;

	if (!seen)
		return 0;
	__u64 *kept = &seen->sets[generation & 1];

	if ((*kept & ~0xffffffffULL) == kept_for)
		return *kept;
	__u32 labels = seen->suffix_count;
	__u32 set =
		set_of_suffixes(seen->suffixes, seen->is_whole ? labels : labels + 1, generation);

	*kept = kept_for | set;
	return set;
}

#endif
