/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reading a DNS message (RFC 1035, section 4.1), which other hosts and users write. It is copied
 * to a scratch entry. A global function takes only numbers, so each of these is given the entry's
 * id and looks it up.
 *
 * What changes in a loop is kept in the entry, whose contents the verifier does not follow: each
 * turn looks to it like the one before.
 */
#ifndef EGRETS_POLICY_NAMES_MESSAGE_H
#define EGRETS_POLICY_NAMES_MESSAGE_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "policy_names_hash.h"
#include "policy_names_maps.h"
#include "policy_names_types.h"

#define DNS_HEADER_LEN 12
#define POINTER 0xc0 /* a label's length: the name goes on elsewhere */
#define NAME_MAX_LEN 255
#define NAME_STEPS 144 /* labels and pointers of a name that are followed */

#define DNS_RESPONSE 0x8000
#define DNS_OPCODE 0x7800
#define DNS_RCODE 0x000f

#define IN_MEMORY(field) (*(volatile typeof(field) *)&(field))

/* Zero, and never written. */
struct names_scratch new_names_scratch;

/*
 * An entry of the current task and direction; 0, and counted, without room. An incoming packet
 * interrupts an outgoing one, and that may, in a soft interrupt, be one of the same direction:
 * the entry that is there already is its.
 */
static __always_inline __u64 scratch_open(bool ingress)
{
	/* a task's address; the idle tasks, which have no pid, have one each */
	__u64 id = (__u64)bpf_get_current_task() | ingress;

	if (!bpf_map_update_elem(&names_scratch, &id, &new_names_scratch, BPF_NOEXIST))
		return id;
	id |= 2;
	if (!bpf_map_update_elem(&names_scratch, &id, &new_names_scratch, BPF_NOEXIST))
		return id;
	count_names_lost(POLICY_LOST_SCRATCH);
	return 0;
}

static __always_inline void scratch_close(__u64 id)
{
	bpf_map_delete_elem(&names_scratch, &id);
}

static __always_inline struct names_scratch *scratch(__u64 id)
{
	return bpf_map_lookup_elem(&names_scratch, &id);
}

/* Copies the message at an offset of the packet: its beginning, if it is too long. */
__noinline __u32 load_message(struct __sk_buff *skb, __u64 id, __u32 at, __u32 len)
{
	struct names_scratch *s = scratch(id);
	__u32 last = (len < MESSAGE_MAX ? len : MESSAGE_MAX) - 1;

	barrier_var(last); /* keeps the bound on the register that the helper gets */
	if (!s || len <= DNS_HEADER_LEN || last >= MESSAGE_MAX)
		return 0;
	if (bpf_skb_load_bytes(skb, at, s->message, last + 1))
		return 0;
	s->len = last + 1;
	return s->len;
}

static __always_inline __u32 message_byte(const struct names_scratch *s, __u32 at)
{
	return s->message[at & (MESSAGE_MAX - 1)];
}

static __always_inline __u32 message_u16(const struct names_scratch *s, __u32 at)
{
	return message_byte(s, at) << 8 | message_byte(s, at + 1);
}

static __always_inline __u32 message_u32(const struct names_scratch *s, __u32 at)
{
	return message_u16(s, at) << 16 | message_u16(s, at + 2);
}

/* Eight bytes, wherever they are. */
static __always_inline __u64 message_word(const struct names_scratch *s, __u32 at)
{
	return *(const __u64 *)(s->message + (at & (MESSAGE_MAX - 1)));
}

/*
 * Finds the labels of the name at an offset and returns what follows it there; 0 if it is
 * malformed.
 */
__noinline __u32 read_name(__u64 id, __u32 at)
{
	struct names_scratch *s = scratch(id);

	if (!s)
		return 0;
	IN_MEMORY(s->at) = at;
	IN_MEMORY(s->next) = 0;
	IN_MEMORY(s->name_len) = 1;
	IN_MEMORY(s->labels_len) = 0;
	for (int i = 0; i < NAME_STEPS; i++) {
		__u32 here = IN_MEMORY(s->at);
		__u32 len = message_byte(s, here);
		__u32 count = IN_MEMORY(s->labels_len);

		if (here >= IN_MEMORY(s->len))
			return 0;
		if (!len) {
			__u32 next = IN_MEMORY(s->next);

			return next ? next : here + 1;
		}
		if (len >= POINTER) {
			if (!IN_MEMORY(s->next))
				IN_MEMORY(s->next) = here + 2;
			IN_MEMORY(s->at) = (len & ~POINTER) << 8 | message_byte(s, here + 1);
			continue;
		}
		if (len > LABEL_MAX || count >= LABELS_MAX)
			return 0;
		s->labels[count & (LABELS_MAX - 1)] = here;
		IN_MEMORY(s->labels_len) = count + 1;
		IN_MEMORY(s->name_len) = IN_MEMORY(s->name_len) + len + 1;
		if (IN_MEMORY(s->name_len) > NAME_MAX_LEN)
			return 0;
		IN_MEMORY(s->at) = here + len + 1;
	}
	return 0;
}

/* Adds the label at an offset to the hash of those behind it. */
__noinline __u64 hash_label(__u64 id, __u32 at, __u64 hash)
{
	struct names_scratch *s = scratch(id);
	struct siphash h;
	__u64 tail = 0;

	if (!s)
		return 0;
	__u32 len = message_byte(s, at) & LABEL_MAX;

	siphash_begin(&h);
	siphash_word(&h, hash);
	for (int i = 0; i < (LABEL_MAX + 1) / WORD; i++) {
		__u32 left = len - i * WORD;

		if (i * WORD >= len)
			break;
		__u64 word = label_text(message_word(s, at + 1 + i * WORD));

		if (left < WORD) {
			tail = word & ((1ULL << (left * 8)) - 1);
			break;
		}
		siphash_word(&h, word);
	}
	siphash_word(&h, (__u64)(sizeof(hash) + len) << 56 | tail);
	return siphash_end(&h);
}

/*
 * The hash of the name that was read last, without its last labels; the suffixes' are in the
 * entry.
 */
__noinline __u64 hash_name(__u64 id, __u32 without)
{
	struct names_scratch *s = scratch(id);
	__u64 hash = 0;

	if (!s)
		return 0;
	for (__u32 i = 0; i < LABELS_MAX; i++) {
		__u32 count = IN_MEMORY(s->labels_len);

		if (i + without >= count)
			break;
		__u32 label = count - 1 - without - i;

		hash = hash_label(id, s->labels[label & (LABELS_MAX - 1)], hash);
		if (i < POLICY_SUFFIXES)
			s->suffixes[i] = hash;
	}
	return hash;
}

/* The name of one question, in s->query; returns what follows it, or 0. Reads its labels. */
__noinline __u32 read_question(__u64 id)
{
	struct names_scratch *s = scratch(id);

	if (!s || message_u16(s, 4) != 1) /* QDCOUNT */
		return 0;
	__u32 end = read_name(id, DNS_HEADER_LEN);
	__u32 len = IN_MEMORY(s->name_len);
	__u64 *question = (__u64 *)s->query.question;

	/* a name without pointers, as every client sends it */
	if (!end || end != DNS_HEADER_LEN + len || end + 4 > IN_MEMORY(s->len))
		return 0;
	for (__u32 i = 0; i < POLICY_QUESTION / WORD; i++) {
		if (i * WORD >= len)
			break;
		/* the lengths of labels are no letters */
		question[i] = lower_case(message_word(s, DNS_HEADER_LEN + i * WORD));
	}
	/* what follows the name in its last word */
	question[len / WORD % (POLICY_QUESTION / WORD)] &= (1ULL << (len % WORD * 8)) - 1;
	s->query.type = message_u16(s, end);
	s->query.class = message_u16(s, end + 2);
	return end + 4;
}

#endif
