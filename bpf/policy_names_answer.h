/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Answers, before the process has them: the addresses of a name are granted to it at that moment,
 * so that the connection that follows at once finds them.
 */
#ifndef EGRETS_POLICY_NAMES_ANSWER_H
#define EGRETS_POLICY_NAMES_ANSWER_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "headers.h"
#include "policy_names_grants.h"
#include "policy_names_maps.h"
#include "policy_names_message.h"
#include "policy_names_query.h"
#include "policy_names_types.h"

#define RECORDS_MAX 96 /* of an answer: what fits into 4096 bytes with IPv6 */

/* RFC 1035, 3596, 9460 */
#define TYPE_A 1
#define TYPE_CNAME 5
#define TYPE_AAAA 28
#define TYPE_SVCB 64
#define TYPE_HTTPS 65
#define CLASS_IN 1
#define RECORD_HEADER_LEN 10 /* from its type to its data */

static __always_inline bool is_in_chain(const struct names_scratch *s, __u64 name)
{
	for (__u32 i = 0; i < CHAIN_MAX; i++)
		if (i < s->chain_len && s->chain[i] == name)
			return true;
	return false;
}

/*
 * The process may ask for the target itself, where a resolver answers with nothing else: what it
 * gets then is for the name that it asked first.
 */
__noinline __u32 keep_alias(__u64 id, __u64 target, __u32 ttl)
{
	struct names_scratch *s = scratch(id);
	struct policy_alias_key key = {.target = target};
	struct policy_alias alias = {.expires_ns = expiry(ttl)};

	if (!s || target == s->query.name)
		return 0;
	key.start_ns = s->query.asker.start_ns;
	key.tgid = s->query.asker.tgid;
	alias.name = s->also ? s->also : s->query.name;
	s->key = (struct policy_order_value){};
	__builtin_memcpy(&s->key, &key, sizeof(key));
	if ((bpf_map_lookup_elem(&policy_aliases, &key) ||
	     make_room(&policy_aliases, s, ORDER_ALIASES, POLICY_ALIASES)) &&
	    !bpf_map_update_elem(&policy_aliases, &key, &alias, BPF_ANY))
		return 1;
	count_names_lost(POLICY_LOST_GRANT);
	return 0;
}

/* A record that sends to another name, at an offset, the way there. */
static __always_inline void read_target(struct names_scratch *s, __u64 id, __u32 at, __u32 ttl)
{
	if (!read_name(id, at) || !IN_MEMORY(s->labels_len))
		return; /* of a service the root is its own name: RFC 9460, section 2.5 */
	__u64 target = hash_name(id, 0);
	__u32 len = s->chain_len;

	if (len < CHAIN_MAX && !is_in_chain(s, target)) {
		s->chain[len] = target;
		s->chain_len = len + 1;
	}
	keep_alias(id, target, ttl);
}

/* RFC 6052, section 2.1: an address of NAT64 is IPv4's that it stands for. */
static __always_inline void read_address(struct names_scratch *s, __u64 id, __u32 at, __u32 type,
					 __u32 ttl)
{
	__u64 *words = (__u64 *)s->grant.addr;

	if (type == TYPE_A) {
		set_ipv4(s->grant.addr, (__u32)message_word(s, at));
	} else {
		words[0] = message_word(s, at);
		words[1] = message_word(s, at + 8);
		if (words[0] == bpf_htonl(0x0064ff9b) && !(__u32)words[1])
			set_ipv4(s->grant.addr, words[1] >> 32);
	}
	grant(s, id, s->query.name, ttl);
	if (s->also)
		grant(s, id, s->also, ttl);
}

/* Whose record it is; answers repeat one name, as a pointer to the same place. */
static __always_inline __u32 read_owner(struct names_scratch *s, __u64 id, __u32 at)
{
	__u32 to = message_u16(s, at);

	if (to >= POINTER << 8 && to == s->owner_at)
		return at + 2;
	__u32 end = read_name(id, at);

	if (!end)
		return 0;
	s->owner = hash_name(id, 0);
	s->owner_at = to >= POINTER << 8 ? to : 0;
	return end;
}

/* Reads the record at an offset; returns the next one's, or 0 if that can't be read. */
__noinline __u32 read_record(__u64 id, __u32 at)
{
	struct names_scratch *s = scratch(id);

	if (!s)
		return 0;
	at = read_owner(s, id, at);
	__u32 len = message_u16(s, at + 8);
	__u32 data = at + RECORD_HEADER_LEN;

	if (!at || data + len > IN_MEMORY(s->len))
		return 0;
	__u32 type = message_u16(s, at);
	__u32 ttl = message_u32(s, at + 4);

	if (message_u16(s, at + 2) != CLASS_IN || !is_in_chain(s, s->owner))
		return data + len;
	if ((type == TYPE_A && len == 4) || (type == TYPE_AAAA && len == 16))
		read_address(s, id, data, type, ttl);
	else if (type == TYPE_CNAME)
		read_target(s, id, data, ttl);
	else if ((type == TYPE_SVCB || type == TYPE_HTTPS) && len > 2)
		read_target(s, id, data + 2, ttl);
	return data + len;
}

/* The query that the message answers, copied to the scratch entry; false if it is to none. */
static __always_inline bool find_query(struct names_scratch *s, __u64 socket, __u32 ifindex)
{
	struct policy_query_key key = {.socket = socket};

	key.id = message_u16(s, 0);
	const struct policy_query *query = bpf_map_lookup_elem(&policy_queries, &key);

	if (!query || query->is_void)
		return false;
	if (query->ifindex != ifindex && query->other_ifindex != ifindex)
		return false;
	if (bpf_ktime_get_boot_ns() - query->asked_ns > ANSWER_NS)
		return false;
	if (!is_same_question(query, &s->query))
		return false;
	if (query->type != s->query.type && !query->any_type)
		return false;
	s->query.name = query->name;
	s->query.asker = query->asker;
	return true;
}

/* Learns from the message in the scratch entry, if it answers a query of that socket. */
__noinline __u32 learn(__u64 id, __u64 socket, __u32 ifindex, __u32 generation)
{
	struct names_scratch *s = scratch(id);

	if (!s)
		return 0;
	__u32 flags = message_u16(s, 2);

	if (!(flags & DNS_RESPONSE) || flags & (DNS_OPCODE | DNS_RCODE))
		return 0;
	__u32 at = read_question(id);

	if (!at || !find_query(s, socket, ifindex))
		return 0;
	struct policy_alias_key key = {
		.start_ns = s->query.asker.start_ns,
		.target = s->query.name,
		.tgid = s->query.asker.tgid,
	};
	const struct policy_alias *alias = bpf_map_lookup_elem(&policy_aliases, &key);

	if (alias && alias->expires_ns >= bpf_ktime_get_boot_ns())
		s->also = alias->name;
	s->generation = generation;
	s->chain[0] = s->query.name;
	s->chain_len = 1;
	s->owner = hash_name(id, 0);
	s->owner_at = POINTER << 8 | DNS_HEADER_LEN;
	if (!keep_name(id, s->query.name))
		return 0;
	__u32 records = message_u16(s, 6); /* ANCOUNT */

	for (__u32 i = 0; i < RECORDS_MAX; i++) {
		if (i >= records)
			return i;
		at = read_record(id, at);
		if (!at)
			break;
	}
	count_names_lost(POLICY_LOST_RECORDS);
	return 0;
}

#endif
