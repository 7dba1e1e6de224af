/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Budgets of what is copied from packets: a tunnel or a flood must fill neither the ring buffer
 * nor the time of its reader. What exceeds one is counted. A message costs what its record
 * takes, however small it is. Two packets at once may both be counted as one: it is a bound,
 * not a measure.
 */
#ifndef EGRETS_BUDGET_H
#define EGRETS_BUDGET_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "owner.h"

#define BUDGET_NS 1000000000ULL
/* bytes in that time */
#define USER_BUDGET (8 * 1024 * 1024) /* of a user */
#define SYSTEM_USER_BUDGET                                                                         \
	(32 * 1024 * 1024) /* of a system user, which may be a resolver or a proxy */
#define OTHER_USERS_BUDGET (16 * 1024 * 1024) /* of all users but these */

struct budget {
	__u64 since;
	__u64 bytes;
};

/* For one kind of message. */
struct budgets {
	struct budget shares[EGRETS_SHARES]; /* by share.h's ids */
	struct budget users;
};

static __always_inline bool spend(__u64 *since, __u64 *bytes, __u64 now, __u32 cost, __u64 budget)
{
	if (now - *since > BUDGET_NS) {
		*since = now;
		*bytes = 0;
	}
	*bytes += cost;
	return *bytes <= budget;
}

static __always_inline bool within_user_budget(struct budgets *budgets, const struct egrets_sock *s,
					       __u64 now, __u32 cost)
{
	bool is_system = s->owner.uid <= SYS_UID_MAX;
	__u32 id = s->share & (EGRETS_SHARES - 1);

	barrier_var(id); /* keeps the bound on the register that is the index */
	struct budget *user = &budgets->shares[id];

	if (!spend(&user->since, &user->bytes, now, cost,
		   is_system ? SYSTEM_USER_BUDGET : USER_BUDGET))
		return false;
	return is_system ||
	       spend(&budgets->users.since, &budgets->users.bytes, now, cost, OTHER_USERS_BUDGET);
}

#endif
