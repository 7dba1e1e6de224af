/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Keys and values of the policy's maps, which userspace fills. As in egrets.h, Rust gets them
 * from the object's BTF.
 *
 * A rule is a bit. Each dimension of a packet or an attempt (program, user, cgroup, kind of
 * process, port, destination) selects a set of rules that it is compatible with; the first
 * rule in all of these sets decides. A value is complete: it has the rules of shorter prefixes,
 * of negations and those without the condition, too, and what is not found has its own set.
 *
 * Everything that depends on the rules has the number of its generation in its key: a verdict
 * reads that number once, so a reload mixes nothing. What outlives a reload (the programs of
 * processes, the classes of cgroups) does not depend on the rules.
 */
#ifndef EGRETS_POLICY_H
#define EGRETS_POLICY_H

#include "vmlinux.h"

enum policy_size {
	POLICY_RULES = 256,
	POLICY_WORDS = POLICY_RULES / 64,
	/* at once: one decides, one may decide again, one was replaced, one is being filled */
	POLICY_GENERATIONS = 4,
	POLICY_SETS = 16384,	/* different sets of rules in a generation */
	POLICY_EXE_DEPTH = 16,	/* directories of a rule's path */
	POLICY_COMPONENTS = 64, /* of a path that is hashed */
	POLICY_PORT_BLOCK = 128,
	POLICY_HITS = POLICY_RULES + 5,
	POLICY_CONDITIONS = 8,	 /* different ones on what started a process, and its name */
	POLICY_COMM_WORDS = 4,	 /* see struct policy_lineage */
	POLICY_COMM_CHARS = 256, /* values of a character */
	POLICY_ERAS = 512,	 /* see policy_era; more than there can be, a power of two */
};

/* A rule is bit n % 64 of bits[n / 64]. */
struct policy_mask {
	__u64 bits[POLICY_WORDS];
};

#define POLICY_NEVER (~0ULL)

enum policy_kind {
	POLICY_HOST = 1,   /* in the host's own namespaces, in no container */
	POLICY_TREE = 2,   /* of the command that is recorded */
	POLICY_KERNEL = 4, /* the kernel itself */
	POLICY_KINDS = 8,
};

enum policy_flag {
	POLICY_ENFORCE = 1,
	POLICY_REFUSE_SOURCE_ROUTE = 2,
	POLICY_REFUSE_UNKNOWN = 4, /* containers that userspace knows nothing of yet */
	POLICY_STALE_NAMES = 8,	   /* an address keeps its names when the answer has expired */
	POLICY_BLOCK_LOOKUPS = 16, /* of names that no rule lets the process reach */
	POLICY_TREE_ONLY = 32,	   /* about the command that is recorded, and no other process */
	POLICY_SNI = 64,	   /* what a connection says is decided on, too, */
	POLICY_SNI_STRICT = 128,   /* and refused, not reported alone */
};

/* Tables of sets by port. */
enum policy_port_table {
	POLICY_TCP,
	POLICY_UDP,
	POLICY_UDPLITE,
	POLICY_SCTP,
	POLICY_NO_PORTS, /* by protocol instead; plus POLICY_HEADLESS for later fragments */
	POLICY_PORT_TABLES,
	POLICY_HEADLESS = 256,
};

/* What stays open under a default that refuses. */
enum policy_essential {
	POLICY_LOOPBACK = 1,
	POLICY_DHCP = 2,
	POLICY_ICMP = 4,
	POLICY_NTP = 8,
	POLICY_DNS = 16,
	POLICY_KERNEL_SOCKETS = 32,
};

/* Sets are numbers of policy_sets; the empty one is 0. */
struct policy_settings {
	__u32 generation;
	__u32 flags;	  /* enum policy_flag */
	__u32 essentials; /* enum policy_essential */
	__u32 exe_depth;  /* the longest directory of a rule's path, in components */
	/* sets: */
	__u32 exe_miss;	     /* of any other program, or an unknown one, */
	__u32 user_miss;     /* of any other user, */
	__u32 class_miss;    /* of a cgroup whose class has none, */
	__u32 any;	     /* of rules for any destination, */
	__u32 unnamed;	     /* of rules for destinations without a name, */
	__u32 private_named; /* of those whose names may lead to private addresses, */
	__u32 shared_named;  /* of those for which any process' lookup gives an address its name, */
	__u32 unsaid;	     /* of those for which the name that was looked up is enough, */
	__u32 allowing;	     /* and of those that let through */
	__u32 unconditional; /* of rules without a condition of struct policy_lineage, */
	__u32 conditions;    /* and the number of these */
	__u8 default_action; /* enum egrets_action */
	__u8 pad[3];
	__u8 actions[POLICY_RULES];
	__u8 observed[POLICY_RULES]; /* 1: never enforced */
	/*
	 * Rules expire without userspace, which may be gone: sets of those, and of those for a kind
	 * of process, that are left when so many of the times below are over.
	 */
	__u32 live[POLICY_ERAS];
	__u32 kinds[POLICY_ERAS * POLICY_KINDS];
	__u64 deadlines_ns[POLICY_RULES]; /* since boot, ascending; those behind: POLICY_NEVER */
};

struct policy_user_key {
	__u32 generation;
	__u32 uid;
};

enum policy_exe_kind {
	POLICY_EXE,		  /* this path */
	POLICY_EXE_CHILD,	  /* a file in this directory */
	POLICY_EXE_BELOW,	  /* a file anywhere below it */
	POLICY_EXE_CONTAINED = 4, /* added for a process in a container */
};

struct policy_exe_key {
	__u32 generation;
	__u32 kind; /* enum policy_exe_kind */
	__u64 hash; /* of a path */
};

struct policy_class_key {
	__u32 generation;
	__u32 class; /* as in struct policy_cgroup */
};

/* Sets of consecutive ports. */
struct policy_ports {
	__u16 sets[POLICY_PORT_BLOCK];
};

struct policy_cidr_key {
	__u32 prefix_len; /* in bits, those of the generation included */
	__u32 generation;
	__u8 addr[16]; /* as in struct egrets_endpoint */
};

enum policy_cgroup_flag {
	POLICY_INHERITED = 1, /* by cgroups below it that have no class of their own yet */
	POLICY_OUTSIDE = 2,   /* in no container */
	POLICY_UNKNOWN = 4,   /* in a container that its runtime has not described */
};

enum policy_class {
	POLICY_UNKNOWN_CLASS, /* a cgroup that userspace has not classified yet */
};

struct policy_cgroup {
	__u32 class;
	__u32 flags; /* enum policy_cgroup_flag */
};

/*
 * A pattern of a rule's path is a bit, the same one in all generations: so what a process has
 * been started by outlives a reload.
 */
enum policy_view {
	POLICY_TRUSTED_PATHS, /* that only root can change */
	POLICY_ANY_PATHS,     /* for rules that name the process' container */
	POLICY_VIEWS,
};

/* The program of a process: hashes of its path. */
struct policy_process {
	__u64 start_ns;
	__u64 exec_id;
	__u64 path;
	__u64 directories[POLICY_EXE_DEPTH]; /* of the first n + 1 components */
	__u16 components;		     /* 0: the path is not known */
	__u8 trusted;			     /* 1: only root can change what is at the path */
	__u8 tree;			     /* 1: of the command that is recorded */
	__u32 pad;
	__u64 patterns[POLICY_VIEWS]; /* that the path matches, by enum policy_view */
	__u64 via[POLICY_VIEWS];      /* that those of its ancestors' programs did */
};

enum policy_condition_flag {
	POLICY_CONTAINED = 1,  /* about processes in containers, and their paths there */
	POLICY_NEEDS_NAME = 2, /* the process has one of the names */
};

/* What some rules require of a process: ancestors, and a name (comm). */
struct policy_condition {
	__u64 via_any;	/* one of these patterns, if there are any, */
	__u64 via_none; /* and none of these */
	__u64 comm_any[POLICY_COMM_WORDS];
	__u64 comm_none[POLICY_COMM_WORDS];
	__u32 flags; /* enum policy_condition_flag */
	__u32 pad;
};

/*
 * The conditions of a generation. Patterns of names are automata that run side by side, in the
 * bits of a few words: the first bit of each is its start, the one before the next one's the
 * accepting state, and a bit of comm_star stands for a *, which stays for any character.
 */
struct policy_lineage {
	struct policy_condition conditions[POLICY_CONDITIONS];
	__u64 comm_start[POLICY_COMM_WORDS];
	__u64 comm_star[POLICY_COMM_WORDS];
	__u32 has_names; /* 0: there are no patterns of names */
	__u32 pad;
	__u32 sets[1 << POLICY_CONDITIONS]; /* by the conditions that hold, a bit each */
};

/* For a character: the states that it leads on from. */
struct policy_comm {
	__u64 states[POLICY_COMM_WORDS];
};

/* A pattern of paths: enum policy_exe_kind, and what has the hash. */
struct policy_pattern_key {
	__u64 hash;
	__u64 kind;
};

/* The last verdict of a flow, and for whom. */
struct policy_flow {
	__u64 start_ns;
	__u64 exec_id;
	__u64 cgroup_id;
	__u32 tgid;
	__u32 uid;
	__u32 era; /* see policy_era: what is decided by other rules is decided anew */
	__u32 verdict;
};

#endif
