/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reading the kernel's structures: through bpf_probe_read_kernel, which takes any address; or with
 * plain loads, from a pointer whose type the verifier knows, which cost a tenth. With both, what
 * is at a bad address reads as 0.
 */
#ifndef EGRETS_READ_H
#define EGRETS_READ_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* src->a->b of READ(typed, src, a, b). The offsets are the running kernel's, of any type's fields.
 */
#define READ(typed, src, ...)                                                                      \
	((typed) ? __builtin_preserve_access_index(___arrow((src), __VA_ARGS__))                   \
		 : BPF_CORE_READ((src), __VA_ARGS__))

/*
 * Whether this kernel has bpf_get_current_task_btf for the programs of cgroups. It came with 5.11,
 * for tracing alone at first. Set at load.
 */
const volatile bool task_is_typed;

/* The current task, typed or not. */
static __always_inline struct task_struct *current_task(bool typed)
{
	if (typed)
		return bpf_get_current_task_btf();
	return (struct task_struct *)bpf_get_current_task();
}

/* A socket as TCP's, typed, with its fields as struct sock has them; NULL if it is none. */
static __always_inline const struct sock *typed_tcp(void *sk)
{
	return (const struct sock *)bpf_skc_to_tcp_sock(sk);
}

#endif
