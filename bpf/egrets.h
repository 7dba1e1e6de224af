/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The records of the ring buffer: defined here once, read by Rust through the
 * types that libbpf-cargo generates from the object's BTF.
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Ports are in
 * host order. Times are nanoseconds since boot, suspend included
 * (bpf_ktime_get_boot_ns). Process ids are the initial pid namespace's.
 */
#ifndef EGRETS_H
#define EGRETS_H

#define EGRETS_COMM_LEN 16   /* TASK_COMM_LEN, include/linux/sched.h */
#define EGRETS_ARGV_MAX 4096 /* bytes of argv kept; longer ones are cut */
#define EGRETS_EXE_MAX 4096  /* PATH_MAX, include/uapi/linux/limits.h */
#define EGRETS_PATH_MAX 1024 /* bytes of a cgroup's path kept */
#define EGRETS_DNS_PORTS 8   /* DNS ports that can be configured */

/* Nobody logged in: AUDIT_UID_UNSET, include/uapi/linux/audit.h. */
#define EGRETS_NO_LOGIN 0xffffffff

enum egrets_kind {
	EGRETS_NONE,
	EGRETS_FORK,	    /* struct egrets_fork */
	EGRETS_EXEC,	    /* struct egrets_exec */
	EGRETS_EXIT,	    /* struct egrets_exit */
	EGRETS_CONNECT,	    /* struct egrets_connect: a TCP attempt */
	EGRETS_ERRNO,	    /* struct egrets_errno: what connect returned */
	EGRETS_ESTABLISHED, /* struct egrets_state */
	EGRETS_CLOSE,	    /* struct egrets_state */
	EGRETS_RELEASE,	    /* struct egrets_release */
	EGRETS_FLOW,	    /* struct egrets_connect: a flow's first packet */
	EGRETS_FLOW_END,    /* struct egrets_flow_end */
	EGRETS_ASSOCIATION, /* struct egrets_association: what SCTP and DCCP were answered */
	EGRETS_DNS,	    /* struct egrets_dns */
	EGRETS_CGROUP,	    /* struct egrets_cgroup: a cgroup was made */
	EGRETS_ATTACH,	    /* struct egrets_cgroup: a process was moved */
	EGRETS_OWNER,	    /* no record: sockets that found no room in the owner map */
	EGRETS_RETURN,	    /* no record: dials whose return was not seen (calls.h) */
	EGRETS_BUDGET,	    /* no record: DNS messages of a socket that has too many */
	EGRETS_KINDS,
};

struct egrets_header {
	__u64 ts;
	__u32 kind;
	__u32 pad;
};

/* Whose it is. Taken in process context, so the pid is not "anybody's". */
struct egrets_owner {
	__u64 start_ns;	 /* of the thread group leader, since boot: guards against pid reuse */
	__u64 exec_id;	 /* counts its execs, and those of its ancestors before the forks */
	__u64 cgroup_id; /* in the cgroup2 hierarchy */
	__u64 netns_cookie;
	__u64 mntns_id; /* unlike the inode number never used again */
	__u32 tgid;
	__u32 tid;
	__u32 uid;		    /* as the initial user namespace sees it */
	__u32 netns;		    /* inode number */
	__u32 mntns;		    /* inode number */
	__u32 login_uid;	    /* audit's; EGRETS_NO_LOGIN: nobody logged in, or no audit */
	__u8 comm[EGRETS_COMM_LEN]; /* of the leader: threads rename themselves */
};

/* IPPROTO_MAX, include/uapi/linux/in.h, and beyond it what has no number there. */
#define EGRETS_PROTOCOL_PACKET 0x1000 /* packet sockets' frames */

/* In a flow's key every byte counts: the pad is zero. */
struct egrets_endpoint {
	__u8 addr[16];
	__u16 port;	/* 0 where the protocol has none, or it can't be told */
	__u16 protocol; /* of a flow: IPPROTO_*, EGRETS_PROTOCOL_PACKET */
	__u16 pad[2];
};

struct egrets_fork {
	struct egrets_header h;
	__u64 start_ns;
	__u64 parent_start_ns;
	__u32 tgid;
	__u32 parent_tgid;
	__u64 from_start_ns; /* of who made it: its parent, or with CLONE_PARENT a sibling */
	__u32 from_tgid;
	__u32 session; /* pid of its session's leader, setsid(2) */
};

/*
 * data holds argv_len bytes of argv, each argument ended by a NUL, then exe_len
 * bytes: the names of the executable's path, the last one first, each ended by
 * a NUL.
 */
struct egrets_exec {
	struct egrets_header h;
	struct egrets_owner owner;
	__u64 parent_start_ns;
	__u32 parent_tgid;
	__u32 argv_total; /* argv's length before it was cut */
	__u32 argv_len;
	__u32 exe_len;
	__u32 session; /* as in struct egrets_fork */
	__u32 pad;
	__u8 data[];
};

struct egrets_exit {
	struct egrets_header h;
	__u64 start_ns;
	__u32 tgid;
	__u32 pad;
};

/* EGRETS_CONNECT and EGRETS_FLOW. */
struct egrets_connect {
	struct egrets_header h;
	struct egrets_owner owner;
	__u64 cookie;
	struct egrets_endpoint src; /* zero for EGRETS_CONNECT: the port is not chosen yet */
	struct egrets_endpoint dst; /* as the process named it, before any NAT */
	__u32 shared_tgid;	    /* see struct egrets_sock */
	__u8 raw;		    /* the process wrote its headers itself: a raw socket */
	__u8 pad[3];
};

struct egrets_errno {
	struct egrets_header h;
	__u64 cookie;
	__u32 err; /* positive */
	__u32 pad;
};

/* EGRETS_ESTABLISHED and EGRETS_CLOSE. */
struct egrets_state {
	struct egrets_header h;
	__u64 cookie;
	__u64 tx_bytes; /* payload, without retransmissions */
	__u64 rx_bytes;
	struct egrets_endpoint src;
	__u32 err;	/* sk_err, positive */
	__u8 has_bytes; /* 0: not a TCP socket of its own (MPTCP), bytes unknown */
	__u8 was_open;	/* EGRETS_CLOSE: 1 where there was a connection */
	__u8 pad[2];
	__u32 shared_tgid; /* see struct egrets_sock */
	__u32 pad2;
};

/*
 * A TCP socket let go without a change of state, or a socket that has more flows than
 * are ended at once: then next is the first of those left. Where it lingers, they are
 * to be ended only if the kernel side has not done it some time later.
 */
struct egrets_release {
	struct egrets_header h;
	__u64 cookie;
	struct egrets_endpoint next;
	__u32 shared_tgid; /* see struct egrets_sock */
	__u8 has_next;
	__u8 lingers;
	__u8 pad[2];
};

struct egrets_flow_end {
	struct egrets_header h;
	__u64 cookie;
	__u64 tx_bytes;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 rx_packets;
	__u64 last_ts; /* of the last packet */
	struct egrets_endpoint dst;
	__u32 shared_tgid; /* see struct egrets_sock */
	__u32 pad;
};

/* The peer has answered the first packet of a flow of SCTP or DCCP. */
struct egrets_association {
	struct egrets_header h;
	__u64 cookie;
	struct egrets_endpoint dst;
	__u32 refused; /* 0: it is established */
	__u32 pad;
};

/* Messages over UDP, or a segment of TCP: any part of the stream of messages. */
struct egrets_dns {
	struct egrets_header h;
	struct egrets_owner owner;
	__u64 cookie;
	struct egrets_endpoint server; /* as the process named it, before any NAT */
	__u32 wire_len;		       /* the message's or segment's length */
	__u32 len;		       /* bytes of it in payload */
	__u32 seq;		       /* TCP: sequence number of the first byte */
	__u32 ack;		       /* TCP: the first byte expected of the other side */
	__u8 ingress;		       /* 1: came in, 0: went out */
	__u8 tcp;
	__u16 each; /* UDP: of each message but the last where they are one packet, else 0 */
	__u8 pad[4];
	__u8 payload[];
};

struct egrets_cgroup {
	struct egrets_header h;
	__u64 cgroup_id;
	__u64 start_ns; /* EGRETS_ATTACH: of the process moved */
	__u32 tgid;
	__u32 hierarchy; /* 0: cgroup2 */
	__u32 path_len;
	__u32 pad;
	__u8 path[]; /* from the hierarchy's root */
};

/*
 * A socket that was open before egrets: what the iterator over all files writes,
 * not into the ring buffer.
 */
struct egrets_open {
	struct egrets_owner owner;
	__u64 cookie; /* 0: nobody has asked for one yet */
	__u64 inode;
	struct egrets_endpoint src;
	struct egrets_endpoint dst; /* port 0: not connected */
	__u32 fd;		    /* of owner.tgid */
	__u32 state;		    /* enum BPF_TCP_* */
	__u16 protocol;		    /* IPPROTO_* */
	__u16 sock_type;	    /* enum sock_type */
	__u32 pad;
};

/*
 * What the iterator over `socks` writes: what a TCP connection has carried so far, or that
 * the socket is no more, which no hook has told.
 */
struct egrets_tcp_counters {
	__u64 cookie;
	__u64 tx_bytes; /* payload, without retransmissions */
	__u64 rx_bytes;
	__u64 gone;
};

/* The values of the maps that userspace reads or writes too. */

/* What a packet socket has for a cookie is its inode number and this bit. */
#define EGRETS_SENDER (1ULL << 63)

/* Bytes that TLS in the kernel has added to the application's. */
struct egrets_added {
	__u64 tx;
	__u64 rx;
};

enum egrets_sock_kind {
	EGRETS_PLAIN, /* TCP, MPTCP or UDP */
	EGRETS_OTHER, /* UDP-Lite, SCTP, DCCP, ping sockets and the like */
	EGRETS_RAW,
};

/* A socket: whose it is, and where it leads to. */
struct egrets_sock {
	struct egrets_owner owner;
	struct egrets_endpoint last; /* the newest UDP destination named, a DNS server's over TCP */
	struct egrets_endpoint head; /* the newest flow of the list */
	__u64 sk;		     /* its struct sock, which it may outlive */
	struct egrets_added added;   /* TCP: when that was last looked at */
	__u64 budget_ts;	     /* since when dns_bytes are counted */
	__u32 dns_bytes;
	__u32 flows;	    /* how many there are */
	__u32 associations; /* SCTP, DCCP: how many of them are established and not ended */
	__u32 shared_tgid;   /* a process other than the owner that was seen to use it, or 0 */
	__u32 err;	    /* TLS: sk_err when it was closed */
	__u8 dns;	    /* named a DNS port: a DNS client */
	__u8 established;   /* TCP: that was told */
	__u8 released;	    /* its process has let go of it; SCTP's associations go on */
	__u8 closed;	    /* TLS: that is told when its process lets go of it */
	__u8 kind;	    /* enum egrets_sock_kind */
	__u8 pad[3];
};

/* A packet socket. */
struct egrets_sender {
	struct egrets_sock sock; /* first: read alone too. It has no list of flows */
	__u64 skb;		 /* its last frame, a struct sk_buff, */
	__u64 dev;		 /* and the last device that was given to */
	__u64 last_ts;		 /* when it was counted */
};

struct egrets_flow_key {
	__u64 cookie;
	struct egrets_endpoint peer;
};

enum egrets_flow_state {
	EGRETS_FLOW_NOTED,   /* nothing was sent yet */
	EGRETS_FLOW_STARTED, /* its first packet left and was reported */
	EGRETS_FLOW_LOST,    /* its first packet left and the report was lost */
};

struct egrets_flow {
	__u64 tx_bytes;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 rx_packets;
	__u64 last_ts;
	__u32 state;
	__u32 tsn; /* SCTP: of the last new chunk of data sent */
	__u8 has_next;
	__u8 has_tsn;
	__u8 established; /* SCTP, DCCP: the association is there */
	__u8 pad[5];
	struct egrets_endpoint next; /* the socket's flow before this one */
};

#endif
