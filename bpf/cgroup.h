/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* New cgroups, and processes that move between them. */
#ifndef EGRETS_CGROUP_H
#define EGRETS_CGROUP_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "ring.h"

/* task is NULL for EGRETS_CGROUP. */
static __always_inline void report_cgroup(__u32 kind, struct cgroup *cgrp, const char *path,
					  struct task_struct *task)
{
	struct egrets_cgroup *e =
		RESERVE_EXTRA(struct egrets_cgroup, kind, share_of_current(), EGRETS_PATH_MAX);

	if (!e)
		return;
	e->cgroup_id = BPF_CORE_READ(cgrp, kn, id);
	e->hierarchy = BPF_CORE_READ(cgrp, root, hierarchy_id);
	if (task) {
		e->tgid = BPF_CORE_READ(task, tgid);
		e->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	}
	long n = bpf_probe_read_kernel_str(e->path, EGRETS_PATH_MAX, path);

	e->path_len = n > 0 ? n - 1 : 0;
	/* userspace looks up a container, which may live for milliseconds only */
	submit_urgent(e);
}

#endif
