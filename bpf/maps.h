/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* All maps, and the counters of what they had no room for. */
#ifndef EGRETS_MAPS_H
#define EGRETS_MAPS_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "uapi.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024 * 1024); /* set at load; bytes */
} events SEC(".maps");

/* A section of its own makes it a map of its own, which the policy's object reuses. */
struct egrets_shared shared SEC(".bss.shared");

/*
 * Sockets, from their creation, connect or sendmsg to their release. A plain hash: an LRU
 * would lose entries silently and could be flooded. Not preallocated, because most hosts
 * need a hundredth of it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EGRETS_SOCKS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64); /* socket cookie */
	__type(value, struct egrets_sock);
} socks SEC(".maps");

/* Those of them that are `unowned`. While there are any, each packet of TCP is looked at. */
__u32 unowned_socks;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, EGRETS_FLOWS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct egrets_flow_key);
	__type(value, struct egrets_flow);
} flows SEC(".maps");

/* What came from a peer before anything was sent there. */
struct inbound {
	__u64 bytes;
	__u32 packets;
	__u16 way;   /* that it came */
	__u16 asked; /* another socket on the port had sent there: struct asked_key */
};

#define INBOUND 65536
#define LOST_ONCE 32768

/*
 * Peers that sent to a socket first. Nothing is left out because of it: the flow is marked. Any
 * host can fill a user's share (order.h); an answer to a peer that was forgotten counts as a
 * flow out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, INBOUND);
	__type(key, struct egrets_flow_key);
	__type(value, struct inbound);
} inbound SEC(".maps");

/* What was counted as lost, so that a flow or a socket is counted once, not each packet. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LOST_ONCE);
	__type(key, struct egrets_flow_key);
	__type(value, __u8);
} lost_once SEC(".maps");

/* A port that has sent to a peer, whichever socket it was. */
struct asked_key {
	__u64 netns_cookie;
	struct egrets_endpoint peer;
	__u32 port;
	__u32 pad;
};

/*
 * When it began to. What a flood of new flows pushes out of it marks an answer as a peer's first
 * packet, and each of those flows is a row: so users have no shares of it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct asked_key);
	__type(value, __u64);
} asked SEC(".maps");

#define PACKET_SOCKS 2048
#define PACKET_FLOWS 16384

/* Preallocated, as kprobe programs need it (5.10), and therefore smaller than the others. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PACKET_SOCKS);
	__type(key, __u64); /* PACKET_SOCK_ID and the inode number */
	__type(value, struct egrets_packet_sock);
} packet_socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PACKET_FLOWS);
	__type(key, struct egrets_flow_key);
	__type(value, struct egrets_flow);
} packet_flows SEC(".maps");

/* An attempt that has begun. */
struct connect_call {
	__u64 thread; /* the key: what was looked up may be another thread's a moment later */
	__u64 cookie; /* the socket's; 0: the thread is inside no attempt */
};

/*
 * Of each thread that connects: an entry stays, which costs less than a new one for each attempt.
 * Preallocated: tracepoint and kprobe programs may use no other (5.10). It has a cookie for
 * microseconds, and of an LRU only those go that wait, inside connect(2) of a Unix socket, say:
 * users can't keep it full for others.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64); /* pid_tgid */
	__type(value, struct connect_call);
} connect_calls SEC(".maps");

/*
 * What was reported of each process, so that only one of a hook's copies reports. The last
 * copy deletes the entry at the exit; where it was skipped, the entry stays until the pid is
 * reused.
 */
struct proc_state {
	__u64 start_ns;
	__u64 exec_id; /* task_struct.self_exec_id, which counts execs; or EXITED */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32); /* tgid */
	__type(value, struct proc_state);
} processes SEC(".maps");

/* Ids of the mount namespaces that were seen. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u8);
} mount_namespaces SEC(".maps");

#define HOOK_COPIES 3 /* programs each on fork, exec and exit */

/*
 * An exec's record is built here: its size is known only when it is written, which
 * bpf_ringbuf_reserve does not take before dynptrs (5.19). A program is not entered twice on
 * one CPU (preemption is off, later bpf_prog->active), so each copy needs one buffer a CPU.
 * The last path component may begin at the last byte of its room.
 */
struct exec_scratch {
	__u8 record[sizeof(struct egrets_exec) + EGRETS_ARGV_MAX + EGRETS_EXE_MAX + NAME_MAX + 1];
	struct dentry *dentry; /* of the executable's path, the component that is next, */
	struct vfsmount *vfs;  /* and its mount */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HOOK_COPIES);
	__type(key, __u32);
	__type(value, struct exec_scratch);
} exec_scratch SEC(".maps");

static __always_inline void count_lost(__u32 kind)
{
	__sync_fetch_and_add(&shared.lost[kind], 1);
}

/* The value of a key; NULL, and counted as a loss of this kind, if there is none. */
static __always_inline void *lookup_or_lost(void *map, const void *key, __u32 kind)
{
	void *value = bpf_map_lookup_elem(map, key);

	if (!value)
		count_lost(kind);
	return value;
}

/*
 * The value of a key that was not found, created from init; NULL, and counted, if the map is
 * full. Another CPU may create it at the same time. The caller has looked it up before, so
 * that init costs nothing if there is a value.
 */
static __always_inline void *lookup_or_init(void *map, const void *key, const void *init,
					    __u32 kind)
{
	bpf_map_update_elem(map, key, init, BPF_NOEXIST);
	return lookup_or_lost(map, key, kind);
}

#endif
