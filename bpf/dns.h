/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Copies of DNS messages, within a budget. */
#ifndef EGRETS_DNS_H
#define EGRETS_DNS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "budget.h"
#include "egrets.h"
#include "headers.h"
#include "maps.h"
#include "owner.h"
#include "ring.h"

/* Set at load. 0: an unused slot. */
const volatile __u16 dns_ports[EGRETS_DNS_PORTS];

static __always_inline bool is_dns_port(__u16 port)
{
	for (int i = 0; i < EGRETS_DNS_PORTS; i++)
		if (port && port == dns_ports[i])
			return true;
	return false;
}

#define DNS_BUDGET (4 * 1024 * 1024) /* bytes of a socket in BUDGET_NS */

struct budgets dns_budgets;

/* The room of a record for a message of this length. */
static __always_inline __u32 dns_record_size(__u32 len)
{
	__u32 room = len <= 128	   ? 128
		     : len <= 512  ? 512
		     : len <= 1536 ? 1536
		     : len <= 4096 ? 4096
				   : 65535;

	return sizeof(struct egrets_dns) + room;
}

static __always_inline bool within_dns_budget(struct egrets_sock *s, __u32 len)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u64 bytes = s->dns_bytes;
	__u32 cost = dns_record_size(len);
	bool within = spend(&s->dns_budget_ts, &bytes, now, cost, DNS_BUDGET);

	s->dns_bytes = bytes;
	if (within && within_user_budget(&dns_budgets, s, now, cost))
		return true;
	count_lost(EGRETS_DNS_BUDGET);
	return false;
}

/*
 * Copies the message into the smallest record of a constant size that holds it. There is no
 * scratch buffer, because an incoming packet interrupts an outgoing one on the same CPU.
 * Only `len` bytes of the payload are written, and only they are read. The last check is on
 * the length less one: verifiers before 6.8 learn nothing from "not zero", and need both
 * bounds of the register that the helper gets.
 */
#define COPY_DNS(size)                                                                             \
	if (len <= (size)) {                                                                       \
		e = RESERVE_EXTRA(struct egrets_dns, EGRETS_DNS, s->share, size);                  \
		if (!e)                                                                            \
			return;                                                                    \
		e->owner = *owner;                                                                 \
		e->cookie = cookie;                                                                \
		e->server = *server;                                                               \
		e->ingress = ingress;                                                              \
		e->tcp = tcp;                                                                      \
		e->gso_size = tcp ? 0 : skb->gso_size;                                             \
		e->seq = p->seq;                                                                   \
		e->ack = p->ack;                                                                   \
		e->wire_len = len;                                                                 \
		barrier_var(last);                                                                 \
		if (last < (size) && !bpf_skb_load_bytes(skb, p->payload, e->payload, last + 1))   \
			e->len = len;                                                              \
		submit(e);                                                                         \
		return;                                                                            \
	}

static __always_inline void copy_dns(struct __sk_buff *skb, const struct packet *p,
				     struct egrets_sock *s, const struct egrets_owner *owner,
				     __u64 cookie, const struct egrets_endpoint *server,
				     bool ingress, bool tcp)
{
	struct egrets_dns *e;
	__u32 len = p->len;
	__u32 last = len - 1;

	if (!within_dns_budget(s, len))
		return;
	COPY_DNS(128);
	COPY_DNS(512);
	COPY_DNS(1536);
	COPY_DNS(4096);
	COPY_DNS(65535);
}

#endif
