/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The verdict on an attempt or a packet: the first rule of all sets that it is in. */
#ifndef EGRETS_POLICY_VERDICT_H
#define EGRETS_POLICY_VERDICT_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "headers.h"
#include "policy_actor.h"
#include "policy_essential.h"
#include "policy_lineage.h"
#include "policy_maps.h"
#include "policy_names_mask.h"
#include "policy_scope.h"
#include "ring.h"

#define VERDICT_ENFORCED 1
/* A rule or enum egrets_rule, an action, and whether it is enforced. */
#define VERDICT(rule, action, enforced) ((__u32)(rule) << 16 | (__u32)(action) << 8 | (enforced))
#define NO_VERDICT VERDICT(EGRETS_RULE_DEFAULT, EGRETS_ALLOW, 0)

static __always_inline bool stops(__u32 verdict)
{
	return (verdict >> 8 & 0xff) >= EGRETS_BLOCK;
}

static __always_inline bool refuses(__u32 verdict)
{
	return (verdict & VERDICT_ENFORCED) && stops(verdict);
}

/* Whether the process is stopped or killed, too. */
static __always_inline bool harms(__u32 verdict)
{
	return (verdict >> 8 & 0xff) > EGRETS_BLOCK;
}

/* On what should say a name that the rules want, and can't or does not. */
static __always_inline __u32 sni_verdict(const struct policy_settings *s)
{
	return VERDICT(EGRETS_RULE_SNI, s->flags & POLICY_SNI_STRICT ? EGRETS_BLOCK : EGRETS_ALERT,
		       s->flags & POLICY_ENFORCE);
}

static __always_inline __u32 only_refused(__u32 verdict)
{
	return VERDICT(verdict >> 16, EGRETS_BLOCK, verdict & VERDICT_ENFORCED);
}

/* What is decided on. */
struct policy_target {
	struct egrets_endpoint dst; /* NAT64 made plain */
	__u64 netns_cookie;	    /* 0: not known */
	bool headless;		    /* the ports are not known */
	__u32 said;		    /* what the connection says itself: enum policy_said */
};

/* RFC 6052, section 2.1: 64:ff9b::/96 */
static __always_inline void set_target(struct policy_target *t, const struct egrets_endpoint *dst)
{
	__u32 words[4];

	t->dst = *dst;
	__builtin_memcpy(words, dst->addr, sizeof(words));
	if (words[0] == bpf_htonl(0x0064ff9b) && !words[1] && !words[2])
		set_ipv4(t->dst.addr, words[3]);
}

/* A global function, like others here: what follows is not verified for each of its branches. */
__noinline __u32 policy_port_set(__u32 generation, __u32 protocol, __u32 port, __u32 headless)
{
	__u32 table = POLICY_NO_PORTS;

	port &= 0xffff;
	if (!headless && protocol == IPPROTO_TCP)
		table = POLICY_TCP;
	else if (!headless && protocol == IPPROTO_UDP)
		table = POLICY_UDP;
	else if (!headless && protocol == IPPROTO_UDPLITE)
		table = POLICY_UDPLITE;
	else if (!headless && protocol == IPPROTO_SCTP)
		table = POLICY_SCTP;
	else
		port = (protocol & 0xff) + (headless ? POLICY_HEADLESS : 0);
	__u32 index = (generation % POLICY_GENERATIONS * POLICY_PORT_TABLES + table) * PORT_BLOCKS +
		      port / POLICY_PORT_BLOCK;
	const struct policy_ports *ports = bpf_map_lookup_elem(&policy_ports, &index);

	return ports ? ports->sets[port % POLICY_PORT_BLOCK] : 0;
}

static __always_inline __u32 cidr_set(const struct policy_settings *s,
				      const struct policy_target *t)
{
	struct policy_cidr_key key = {.prefix_len = 32 + 128, .generation = s->generation};

	__builtin_memcpy(key.addr, t->dst.addr, sizeof(key.addr));
	const __u32 *set = bpf_map_lookup_elem(&policy_cidrs, &key);

	return set ? *set : 0;
}

static __always_inline __u32 kind_of(const struct policy_actor *a, __u64 class,
				     const struct policy_process *process)
{
	__u32 tree = process ? process->tree & 1 : 0;

	/* without branches, as in lowest_bit */
	__u64 kind = (a->at_home & class >> 33 & 1) * POLICY_HOST + tree * POLICY_TREE +
		     (a->kernel & 1) * POLICY_KERNEL;

	barrier_var(kind); /* or clang leaves out what keeps the bound */
	return kind & (POLICY_KINDS - 1);
}

/* Without a branch, which would multiply what the verifier checks: the bits below it, counted. */
static __always_inline __u32 lowest_bit(__u64 bits)
{
	__u64 n = ~bits & (bits - 1);

	n -= n >> 1 & 0x5555555555555555ULL;
	n = (n & 0x3333333333333333ULL) + (n >> 2 & 0x3333333333333333ULL);
	n = (n + (n >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return n * 0x0101010101010101ULL >> 56;
}

/*
 * A generation (above) and how many of its deadlines are over, at each of which rules expire: a
 * search in halves. A global function, verified once, and without branches as lowest_bit.
 */
__noinline __u32 policy_era(__u32 generation)
{
	const struct policy_settings *s = settings_of(generation);
	__u64 now = bpf_ktime_get_boot_ns();
	__u64 n = 0;

	if (!s)
		return 0;
	for (__u32 step = POLICY_RULES / 2; step; step /= 2) {
		__u64 at = n + step - 1;

		barrier_var(at); /* keeps the bound on the register that is the index */
		at &= POLICY_RULES - 1;
		n += step * (s->deadlines_ns[at] <= now);
	}
	barrier_var(n);
	n &= POLICY_RULES - 1;
	n += s->deadlines_ns[n] <= now;
	return generation * POLICY_ERAS + n;
}

/* The clock is read only if a rule expires at all. */
static __always_inline __u32 era_now(const struct policy_settings *s)
{
	if (s->deadlines_ns[0] == POLICY_NEVER)
		return s->generation * POLICY_ERAS;
	return policy_era(s->generation);
}

/* The set of a kind of process, without the rules that have expired. */
static __always_inline __u32 kind_set(const struct policy_settings *s, __u32 era, __u32 kind)
{
	__u64 at = (__u64)era * POLICY_KINDS + kind;

	barrier_var(at); /* keeps the bound on the register that is the index */
	at &= POLICY_ERAS * POLICY_KINDS - 1;
	return s->kinds[at];
}

/* Sets of a verdict. */
struct policy_dimensions {
	__u32 exe;
	__u32 user;
	__u32 class;
	__u32 kind;
	__u32 port;
	__u32 cidr;
	__u32 any;
	__u32 lineage;
};

/* The first rule that is in all sets; EGRETS_RULE_DEFAULT without one. */
static __always_inline __u32 first_rule(__u32 generation, const struct policy_dimensions *d,
					const struct policy_mask *names)
{
	const struct policy_mask *exe = mask_of(generation, d->exe);
	const struct policy_mask *user = mask_of(generation, d->user);
	const struct policy_mask *class = mask_of(generation, d->class);
	const struct policy_mask *kind = mask_of(generation, d->kind);
	const struct policy_mask *port = mask_of(generation, d->port);
	const struct policy_mask *cidr = mask_of(generation, d->cidr);
	const struct policy_mask *any = mask_of(generation, d->any);
	const struct policy_mask *lineage = mask_of(generation, d->lineage);

	if (!exe || !user || !class || !kind || !port || !cidr || !any || !lineage)
		return EGRETS_RULE_DEFAULT; /* never: for the verifier */
	for (int i = 0; i < POLICY_WORDS; i++) {
		__u64 bits = exe->bits[i] & user->bits[i] & class->bits[i] & kind->bits[i] &
			     port->bits[i] & lineage->bits[i] &
			     (any->bits[i] | cidr->bits[i] | names->bits[i]);

		if (bits)
			return i * 64 + lowest_bit(bits);
	}
	return EGRETS_RULE_DEFAULT;
}

/* Of a generation: by rule, and behind them by enum egrets_rule, the last one first. */
static __always_inline void count_hit(__u32 generation, __u32 rule)
{
	__u32 at = rule < POLICY_RULES ? rule : POLICY_RULES + EGRETS_RULE_DEFAULT - rule;

	at += generation % POLICY_GENERATIONS * POLICY_HITS;
	barrier_var(at);
	if (at < POLICY_GENERATIONS * POLICY_HITS)
		__sync_fetch_and_add(&policy_hits[at], 1);
}

static __always_inline __u32 verdict_of_rule(const struct policy_settings *s, __u32 rule)
{
	bool enforced = s->flags & POLICY_ENFORCE;

	if (rule < POLICY_RULES) {
		__u64 at = rule;

		barrier_var(at); /* keeps the bound on the register that is the index */
		at &= POLICY_RULES - 1;
		return VERDICT(rule, s->actions[at], enforced && !s->observed[at]);
	}
	return VERDICT(EGRETS_RULE_DEFAULT, s->default_action, enforced);
}

static __always_inline __u32 decide(const struct policy_settings *s, const struct policy_target *t,
				    const struct policy_actor *a, __u32 era)
{
	const struct policy_process *process = process_of(a);
	struct policy_dimensions d = {};
	struct policy_mask names = {};
	__u64 class = class_of(a);
	bool enforced = s->flags & POLICY_ENFORCE;

	if ((s->essentials & POLICY_DNS) && is_dns_to_resolver(s->generation, &t->dst))
		return VERDICT(EGRETS_RULE_ESSENTIAL, EGRETS_ALLOW, enforced);
	if ((class >> 32 & POLICY_UNKNOWN) && (s->flags & POLICY_REFUSE_UNKNOWN))
		return VERDICT(EGRETS_RULE_UNKNOWN, EGRETS_BLOCK, enforced);
	d.exe = s->exe_miss;
	if (process)
		d.exe = policy_exe_set(s->generation, s->exe_depth, a->tgid,
				       !(class >> 32 & POLICY_OUTSIDE), d.exe);
	d.lineage = lineage_set(s, a, process, class);
	d.user = user_set(s, a->uid);
	d.class = class_set(s, class);
	d.kind = kind_set(s, era, kind_of(a, class, process));
	d.port = policy_port_set(s->generation, t->dst.protocol, t->dst.port, t->headless);
	d.cidr = cidr_set(s, t);
	d.any = s->any;
	__u64 naming = named_rules(s, t->netns_cookie, t->dst.addr, a, t->said, &names);
	__u32 rule = first_rule(s->generation, &d, &names);
	__u32 verdict = verdict_of_rule(s, rule);

	if (harms(verdict) && !harms_process(s->generation, d.any, d.cidr, naming, rule))
		verdict = only_refused(verdict);
	if (naming)
		naming_close(naming);
	if (rule == EGRETS_RULE_DEFAULT && (essentials_of(&t->dst, a, class) & s->essentials))
		return VERDICT(EGRETS_RULE_ESSENTIAL, EGRETS_ALLOW, enforced);
	return verdict;
}

static __always_inline void report_verdict(__u64 cookie, const struct egrets_endpoint *dst,
					   const struct policy_actor *a, __u32 generation,
					   __u32 verdict, bool said)
{
	/* kill, suspend and dump are userspace's to do */
	bool urgent = refuses(verdict) && harms(verdict);
	__u32 id = a->is_current ? share_of_current() : share_of_uid(a->uid);
	struct egrets_verdict *e;

	count_hit(generation, verdict >> 16);
	/* who is to be stopped does not prevent it by what else he causes */
	e = RESERVE_URGENT(struct egrets_verdict, EGRETS_VERDICT, id, 0, urgent);
	if (!e)
		return;
	e->cookie = cookie;
	e->dst = *dst;
	e->tgid = a->tgid;
	e->start_ns = a->start_ns;
	e->generation = generation;
	e->rule = verdict >> 16;
	e->action = verdict >> 8;
	e->enforced = verdict & VERDICT_ENFORCED;
	e->said = said;
	if (urgent)
		submit_urgent(e);
	else
		submit(e);
}

#endif
