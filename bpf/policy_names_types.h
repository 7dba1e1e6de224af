/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Names in the kernel: keys and values of their tables. A name is its keyed 64-bit hash
 * (policy_names_hash.h). Addresses and times are as in egrets.h.
 */
#ifndef EGRETS_POLICY_NAMES_TYPES_H
#define EGRETS_POLICY_NAMES_TYPES_H

#include "vmlinux.h"

enum policy_names_size {
	POLICY_QUERIES = 32768,
	POLICY_GRANTS = 131072,
	POLICY_SEEN_NAMES = 131072,
	POLICY_ALIASES = 32768,
	POLICY_STREAMS = 8192,
	POLICY_BUCKETS = 16384, /* a power of two */
	POLICY_GRANT_NAMES = 8, /* of an address */
	POLICY_SUFFIXES = 10,	/* labels of the policy's names at most */
	POLICY_QUESTION = 256,	/* bytes of a question's name, RFC 1035, section 2.3.4, and room */
};

/* Why a name was not learnt. */
enum policy_names_loss {
	POLICY_LOST_QUERY,   /* no room for the query */
	POLICY_LOST_GRANT,   /* none for the address, its name or an alias */
	POLICY_LOST_SCRATCH, /* none to read the message */
	POLICY_LOST_RECORDS, /* records of an answer that was too long */
	POLICY_LOST_STREAM,  /* DNS over TCP: a message in more than one segment */
	POLICY_NAMES_LOSSES,
};

struct policy_name_key {
	__u32 generation;
	__u32 pad;
	__u64 hash;
};

/* Sets (policy.h) of the longest suffix of a name. Complete: with those of shorter suffixes. */
struct policy_name {
	__u32 below; /* of the names below it; 0: no rule has them */
	__u32 exact; /* of itself */
};

/* Who asked. */
struct policy_asker {
	__u64 start_ns;
	__u64 cgroup_id;
	__u64 netns_cookie;
	__u32 tgid;
	__u32 bucket;	 /* of entries: policy_names_order.h */
	__u32 is_system; /* a system user, who has more room */
	__u32 pad;
};

struct policy_query_key {
	__u64 socket; /* its cookie, or over the loopback device the client's endpoint, hashed */
	__u16 id;     /* of the message */
	__u8 pad[6];
};

struct policy_query {
	__u64 asked_ns;
	__u64 name;
	struct policy_asker asker;
	__u32 ifindex;	     /* by which it left, */
	__u32 other_ifindex; /* and by which it left before, to another resolver */
	__u16 type;
	__u16 class;
	__u8 is_void;  /* another name was asked with the same id */
	__u8 any_type; /* another type of the same name was */
	__u8 pad[2];
	__u8 question[POLICY_QUESTION]; /* the name as it was sent, in lower case */
};

struct policy_grant_key {
	__u64 netns_cookie;
	__u64 cgroup_id; /* 0: every name; else those that a process of it has asked */
	__u8 addr[16];
};

/* A name that an address was given for. */
struct policy_granted {
	__u64 name;
	__u64 expires_ns; /* 0: none */
	__u64 start_ns;	  /* of the process that asked */
	__u32 tgid;
	__u32 pad;
};

struct policy_grant {
	struct policy_granted names[POLICY_GRANT_NAMES];
};

struct policy_seen_name {
	__u64 suffixes[POLICY_SUFFIXES]; /* hashes, the shortest first */
	__u64 sets[2];			 /* of a generation: see name_set */
	__u8 suffix_count;
	__u8 is_whole; /* the last suffix is the name */
	__u8 pad[6];
};

struct policy_alias_key {
	__u64 start_ns; /* of the process that asked */
	__u64 target;	/* the name that it was sent to */
	__u32 tgid;
	__u32 pad;
};

struct policy_alias {
	__u64 name; /* that it asked first */
	__u64 expires_ns;
};

struct policy_stream {
	__u32 next; /* sequence number at which the next answer begins */
	__u8 begun; /* next is set */
	__u8 lost;  /* where messages begin is not known any more */
	__u8 pad[2];
};

enum policy_order_table {
	ORDER_QUERIES,
	ORDER_GRANTS,
	ORDER_SEEN_NAMES,
	ORDER_ALIASES,
	ORDER_STREAMS,
	ORDER_TABLES,
};

struct policy_order_key {
	__u32 bucket;
	__u16 table; /* enum policy_order_table */
	__u16 slot;
};

/* The key of an entry, with zeros behind it. */
struct policy_order_value {
	__u64 key[4];
};

struct policy_bucket {
	struct bpf_spin_lock lock;
	__u32 next[ORDER_TABLES]; /* slots */
};

#define MESSAGE_MAX 4096 /* bytes of a message that are read; a power of two */
#define MESSAGE_SLACK 72 /* labels are read in words, and the last one may begin at the end */
#define LABELS_MAX 128	 /* of a name; a power of two */
#define CHAIN_MAX 8	 /* the question and the targets of its CNAMEs */

struct names_scratch {
	struct policy_query query; /* that is recorded, or that the answer is to */
	__u64 also;		   /* the name whose alias the question is, or 0 */
	__u64 chain[CHAIN_MAX];	   /* names whose addresses the question's are */
	__u64 suffixes[POLICY_SUFFIXES];
	__u64 owner; /* name of the record before, */
	/* keys and a value that would take too much of the stack */
	struct policy_order_value key;
	struct policy_grant_key grant;
	struct policy_seen_name seen;
	__u64 least; /* of names of an address: see place_for */
	__u32 place;
	__u32 pad;
	__u32 owner_at; /* and where it is */
	__u32 chain_len;
	__u32 len;	  /* of the message */
	__u32 at;	  /* where it is being read */
	__u32 next;	  /* what follows the name that was read */
	__u32 name_len;	  /* of that name, with length bytes */
	__u32 labels_len; /* its labels, */
	__u32 generation;
	__u16 labels[LABELS_MAX]; /* and where each begins */
	__u8 message[MESSAGE_MAX + MESSAGE_SLACK];
};

#endif
