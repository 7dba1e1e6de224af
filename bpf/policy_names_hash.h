/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The hash of a name: SipHash-1-3 of each label, from the last one to the first, each with the
 * hash before it, so that the hashes of all suffixes come with it. Its key is secret: no process
 * can look for a name with the hash of another one. src/policy/name_hash.rs does the same.
 */
#ifndef EGRETS_POLICY_NAMES_HASH_H
#define EGRETS_POLICY_NAMES_HASH_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#define LABEL_MAX 63 /* RFC 1035, section 2.3.4 */
#define WORD 8	     /* bytes that are hashed at once */

/* Set at load: random. */
const volatile __u64 name_key[2];

struct siphash {
	__u64 v0, v1, v2, v3;
};

static __always_inline __u64 rotate_left(__u64 x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static __always_inline void siphash_round(struct siphash *h)
{
	h->v0 += h->v1;
	h->v1 = rotate_left(h->v1, 13) ^ h->v0;
	h->v0 = rotate_left(h->v0, 32);
	h->v2 += h->v3;
	h->v3 = rotate_left(h->v3, 16) ^ h->v2;
	h->v0 += h->v3;
	h->v3 = rotate_left(h->v3, 21) ^ h->v0;
	h->v2 += h->v1;
	h->v1 = rotate_left(h->v1, 17) ^ h->v2;
	h->v2 = rotate_left(h->v2, 32);
}

static __always_inline void siphash_begin(struct siphash *h)
{
	h->v0 = name_key[0] ^ 0x736f6d6570736575;
	h->v1 = name_key[1] ^ 0x646f72616e646f6d;
	h->v2 = name_key[0] ^ 0x6c7967656e657261;
	h->v3 = name_key[1] ^ 0x7465646279746573;
}

static __always_inline void siphash_word(struct siphash *h, __u64 word)
{
	h->v3 ^= word;
	siphash_round(h);
	h->v0 ^= word;
}

static __always_inline __u64 siphash_end(struct siphash *h)
{
	h->v2 ^= 0xff;
	siphash_round(h);
	siphash_round(h);
	siphash_round(h);
	return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

/* The same byte in each place of a word. */
#define BYTES(byte) ((byte)*0x0101010101010101ULL)

/*
 * Eight bytes in lower case. Without branches, which the verifier would follow for each byte:
 * adding to seven bits sets the eighth where the byte is at least so much.
 */
static __always_inline __u64 lower_case(__u64 x)
{
	__u64 low = x & BYTES(0x7f);
	__u64 upper = (low + BYTES(0x80 - 'A')) & ~(low + BYTES(0x7f - 'Z')) & ~x & BYTES(0x80);

	return x | upper >> 2;
}

/*
 * Eight bytes of a label as they are hashed: in lower case, with 0x7f for each that does not
 * print or is a dot. A label may have a dot in it, and would look like two.
 */
static __always_inline __u64 label_text(__u64 x)
{
	x = lower_case(x);
	__u64 low = x & BYTES(0x7f);
	__u64 prints = (low + BYTES(0x80 - 0x21)) & ~(low + BYTES(0x80 - 0x7f)) &
		       ((low ^ BYTES('.')) + BYTES(0x7f)) & ~x & BYTES(0x80);
	__u64 bad = (~prints & BYTES(0x80)) >> 7;

	return (x & ~(bad * 0xff)) | bad * 0x7f;
}

#endif
