/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The setting sni: a TCP connection that the policy lets through is decided on again when its
 * process first sends, by the name that it says there instead of those that its address was
 * looked up by. Many names share an address, and its lookup says only which of them was asked.
 */
#ifndef EGRETS_POLICY_SNI_H
#define EGRETS_POLICY_SNI_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "headers.h"
#include "policy.h"
#include "policy_egress.h"
#include "policy_names_message.h"
#include "policy_server_name.h"
#include "policy_sni_maps.h"
#include "policy_verdict.h"
#include "tcp.h"

static __always_inline struct policy_sni *sni_of(struct __sk_buff *skb)
{
	struct bpf_sock *common = skb->sk;
	struct bpf_sock *full = common ? bpf_sk_fullsock(common) : NULL;

	return full ? bpf_sk_storage_get(&policy_sni_sockets, full, NULL, 0) : NULL;
}

/* What the payload at an offset says: see server_name_set. */
static __always_inline __u32 said_in(struct __sk_buff *skb, __u32 at, __u32 len, __u32 generation)
{
	__u64 id = scratch_open(false);
	__u32 said = NOTHING_SAID;

	if (!id)
		return said;
	if (load_message(skb, id, at, len))
		said = server_name_set(id, generation);
	scratch_close(id);
	return said;
}

/*
 * What becomes of a connection that says a name of this set, or none. Where none is said that a
 * rule would want, that is the setting's doing, and so is what is reported alone.
 */
static __always_inline __u32 said_verdict(const struct policy_settings *s,
					  const struct policy_sni *n, const struct policy_actor *a,
					  __u32 said)
{
	struct policy_target target = {
		.dst = n->dst,
		.netns_cookie = n->netns_cookie,
		.said = said,
	};
	__u32 verdict = decide(s, &target, a, era_now(s));

	if (stops(verdict) && !stops(n->verdict) &&
	    (said == NOTHING_SAID || !(s->flags & POLICY_SNI_STRICT)))
		return sni_verdict(s);
	return verdict;
}

/* A global function, verified once. The first payload of a connection. 0: it is dropped. */
__noinline __u32 policy_decide_said(struct __sk_buff *skb, __u32 said)
{
	const struct policy_settings *s = active_settings();
	struct policy_sni *n = sni_of(skb);
	struct policy_actor actor = {};
	__u64 at = 0;

	if (!s || !n)
		return 1;
	struct bpf_sock *sk = skb->sk;

	/* a copy of the pointer is a number, which the verifier lets be read through */
	bpf_probe_read_kernel(&at, sizeof(at), &sk);
	__u64 cookie = bpf_get_socket_cookie(skb);

	actor_of(&actor, (const struct sock *)at, cookie, true, false);
	if (!is_subject(s, &actor)) {
		n->state = SNI_PASSED;
		return 1;
	}
	__u32 verdict = said_verdict(s, n, &actor, said);

	n->state = refuses(verdict) ? SNI_REFUSED : SNI_PASSED;
	/* what was reported when it connected is not taken back */
	if ((verdict >> 8 & 0xff) > (n->verdict >> 8 & 0xff) || refuses(verdict))
		report_verdict(cookie, &n->dst, &actor, s->generation, verdict, true);
	return n->state == SNI_PASSED;
}

/* A packet leaves. A connection that was refused ends in silence: it sends no more. */
static __always_inline int policy_first_payload(struct __sk_buff *skb)
{
	struct packet p = {};

	if (is_bare(skb))
		return 1;
	const struct policy_sni *n = sni_of(skb);

	if (!n || n->state == SNI_PASSED)
		return 1;
	const struct policy_settings *s = active_settings();

	if (!s || !(s->flags & POLICY_SNI))
		return 1;
	if (!parse_skb(skb, &p) || !tcp_payload(skb, &p))
		return 0;
	if (!p.len)
		return 1;
	if (n->state == SNI_REFUSED)
		return 0;
	return policy_decide_said(skb, said_in(skb, p.payload, p.len, s->generation)) ? 1 : 0;
}

#endif
