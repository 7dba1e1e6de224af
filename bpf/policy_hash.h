/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The keyed hash of paths: src/enforce/path_hash.rs has the same. */
#ifndef EGRETS_POLICY_HASH_H
#define EGRETS_POLICY_HASH_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

/* The finalizer of MurmurHash3, with another multiplier for the input. */
static __always_inline __u64 policy_mix(__u64 hash, __u64 word)
{
	hash ^= word * 0x9e3779b97f4a7c15ULL;
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdULL;
	hash ^= hash >> 33;
	hash *= 0xc4ceb9fe1a85ec53ULL;
	return hash ^ hash >> 33;
}

#endif
