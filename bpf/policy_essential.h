/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What stays open under `default: block`, or the host loses its network: each can be closed by
 * the setting `essentials`, or by a rule. As src/policy/essential.rs.
 */
#ifndef EGRETS_POLICY_ESSENTIAL_H
#define EGRETS_POLICY_ESSENTIAL_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "policy_actor.h"
#include "policy_maps.h"
#include "policy_scope.h"
#include "uapi.h"

#define DNS_PORT 53
#define DHCP_PORT 67	/* RFC 2131: of servers */
#define DHCPV6_PORT 547 /* RFC 8415, section 7.2: the same */
#define NTP_PORT 123

static __always_inline bool is_resolver(__u32 generation, const __u8 *addr)
{
	struct policy_cidr_key key = {.prefix_len = 32 + 128, .generation = generation};

	__builtin_memcpy(key.addr, addr, sizeof(key.addr));
	return bpf_map_lookup_elem(&policy_resolvers, &key);
}

/* This one comes before all rules. */
static __always_inline bool is_dns_to_resolver(__u32 generation, const struct egrets_endpoint *dst)
{
	return dst->port == DNS_PORT &&
	       (dst->protocol == IPPROTO_TCP || dst->protocol == IPPROTO_UDP) &&
	       is_resolver(generation, dst->addr);
}

/* A global function, verified once. `port` is UDP's; is_system: a system user outside containers.
 */
__noinline __u32 policy_essentials(__u64 addr_high, __u64 addr_low, __u32 protocol_port,
				   __u32 is_kernel, __u32 is_system)
{
	__u64 words[2] = {addr_high, addr_low};
	__u32 protocol = protocol_port >> 16;
	__u32 port = protocol_port & 0xffff;
	__u32 found = is_kernel ? POLICY_KERNEL_SOCKETS : 0;
	__u32 scope = scope_of((const __u8 *)words);

	if (scope == SCOPE_LOOPBACK)
		found |= POLICY_LOOPBACK;
	if (protocol == IPPROTO_UDP && is_system) {
		if (port == DHCP_PORT || port == DHCPV6_PORT)
			found |= POLICY_DHCP;
		if (port == NTP_PORT)
			found |= POLICY_NTP;
	}
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6 || protocol == IPPROTO_IGMP)
		if (is_kernel || scope == SCOPE_LINK || scope == SCOPE_MULTICAST)
			found |= POLICY_ICMP;
	return found;
}

static __always_inline __u32 essentials_of(const struct egrets_endpoint *dst,
					   const struct policy_actor *a, __u64 class)
{
	__u64 addr[2];

	__builtin_memcpy(addr, dst->addr, sizeof(addr));
	return policy_essentials(addr[0], addr[1], (__u32)dst->protocol << 16 | dst->port,
				 a->kernel,
				 (class >> 32 & POLICY_OUTSIDE) && a->uid <= SYS_UID_MAX);
}

#endif
