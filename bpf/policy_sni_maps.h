/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Connections that have yet to say whom they are for, or have been decided on by that. */
#ifndef EGRETS_POLICY_SNI_MAPS_H
#define EGRETS_POLICY_SNI_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"

enum sni_state {
	SNI_AWAITED,
	SNI_PASSED,
	SNI_REFUSED,
};

struct policy_sni {
	struct egrets_endpoint dst; /* as its process named it, NAT64 made plain */
	__u64 netns_cookie;
	__u32 verdict; /* when it connected */
	__u32 state;   /* enum sni_state */
};

/* Ends with its socket, which pays for it: there is no table to fill. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct policy_sni);
} policy_sni_sockets SEC(".maps");

#endif
