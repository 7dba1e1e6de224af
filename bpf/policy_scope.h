/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What an address is to this host. */
#ifndef EGRETS_POLICY_SCOPE_H
#define EGRETS_POLICY_SCOPE_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum policy_scope { SCOPE_PUBLIC, SCOPE_PRIVATE, SCOPE_LINK, SCOPE_LOOPBACK, SCOPE_MULTICAST };

#define IPV4(a, b, c, d) ((__u32)(a) << 24 | (b) << 16 | (c) << 8 | (d))

/* As dst_scope, src/model/address.rs. */
static __always_inline __u32 ipv4_scope(__u32 ip)
{
	if (ip >> 24 == 127 || !ip)
		return SCOPE_LOOPBACK;
	if (ip >> 28 == 14 || ip == ~0U)
		return SCOPE_MULTICAST;
	if (ip >> 16 == IPV4(0, 0, 169, 254))
		return SCOPE_LINK;
	if (ip >> 24 == 10 || ip >> 20 == IPV4(172, 16, 0, 0) >> 20 ||
	    ip >> 16 == IPV4(0, 0, 192, 168) || ip >> 22 == IPV4(100, 64, 0, 0) >> 22)
		return SCOPE_PRIVATE;
	return SCOPE_PUBLIC;
}

/* Of an address in two halves. A global function: see policy_port_set. */
__noinline __u32 policy_scope(__u64 addr_high, __u64 addr_low)
{
	__u32 words[4] = {addr_high, addr_high >> 32, addr_low, addr_low >> 32};
	const __u8 *addr = (const __u8 *)words;

	if (!words[0] && !words[1] && words[2] == bpf_htonl(0xffff))
		return ipv4_scope(bpf_ntohl(words[3]));
	if (!words[0] && !words[1] && !words[2] && bpf_ntohl(words[3]) <= 1)
		return SCOPE_LOOPBACK;
	if (addr[0] == 0xff)
		return SCOPE_MULTICAST;
	if (addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80)
		return SCOPE_LINK;
	return (addr[0] & 0xfe) == 0xfc ? SCOPE_PRIVATE : SCOPE_PUBLIC;
}

static __always_inline __u32 scope_of(const __u8 *addr)
{
	__u64 halves[2];

	__builtin_memcpy(halves, addr, sizeof(halves));
	return policy_scope(halves[0], halves[1]);
}

#endif
