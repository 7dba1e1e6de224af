/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Records of the ring buffer, values of the maps that userspace reads, and constants that
 * both sides need. Rust gets them from the object's BTF (libbpf-cargo): constants are
 * enumerators for that reason, and each type is named in egrets.bpf.c.
 *
 * Addresses are 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. Ports are in
 * host order. Times are nanoseconds since boot, suspend included
 * (bpf_ktime_get_boot_ns). Process ids are the initial pid namespace's.
 */
#ifndef EGRETS_H
#define EGRETS_H

#include "vmlinux.h"

enum egrets_size {
	EGRETS_COMM_LEN = 16,	/* TASK_COMM_LEN, include/linux/sched.h */
	EGRETS_ARGV_MAX = 4096, /* bytes of argv kept; longer ones are cut */
	EGRETS_EXE_MAX = 4096,	/* PATH_MAX, include/uapi/linux/limits.h */
	/* of a cgroup: TRACE_CGROUP_PATH_LEN, kernel/cgroup/cgroup-internal.h */
	EGRETS_PATH_MAX = 1024,
	EGRETS_DNS_PORTS = 8,  /* slots of dns_ports */
	EGRETS_SHARES = 16384, /* see share.h; a power of two */
	EGRETS_SOCKS = 524288, /* entries of socks, */
	EGRETS_FLOWS = 524288, /* and of flows */
	/* of a record: BPF_RINGBUF_HDR_SZ, include/uapi/linux/bpf.h */
	EGRETS_RING_HEADER = 8,
};

enum egrets_login {
	EGRETS_NO_LOGIN = 0xffffffff, /* AUDIT_UID_UNSET, include/uapi/linux/audit.h */
};

/* Protocols beyond IPPROTO_MAX, include/uapi/linux/in.h. */
enum egrets_protocol {
	EGRETS_PROTOCOL_PACKET = 0x1000, /* frames of packet sockets */
};

enum egrets_kind {
	EGRETS_NONE,
	EGRETS_FORK,	    /* struct egrets_fork */
	EGRETS_EXEC,	    /* struct egrets_exec */
	EGRETS_EXIT,	    /* struct egrets_exit */
	EGRETS_CONNECT,	    /* struct egrets_connect: a TCP attempt */
	EGRETS_ERRNO,	    /* struct egrets_errno */
	EGRETS_ESTABLISHED, /* struct egrets_state */
	EGRETS_CLOSE,	    /* struct egrets_state */
	EGRETS_RELEASE,	    /* struct egrets_release */
	EGRETS_FLOW,	    /* struct egrets_connect: a flow's first packet */
	EGRETS_FLOW_END,    /* struct egrets_flow_end */
	EGRETS_ASSOCIATION, /* struct egrets_association */
	EGRETS_DNS,	    /* struct egrets_dns */
	EGRETS_CGROUP,	    /* struct egrets_cgroup: a new cgroup */
	EGRETS_ATTACH,	    /* struct egrets_cgroup: a process was moved */
	EGRETS_HOP,	    /* struct egrets_hop: a TCP connection has a source route */
	EGRETS_VERDICT,	    /* struct egrets_verdict: what the policy decides */
	EGRETS_PAYLOAD,	    /* struct egrets_payload */
	EGRETS_OWNER,	    /* struct egrets_claim: the process of a socket that had none */
	/* losses without a record */
	EGRETS_SOCKET,	       /* sockets without room in the socket map */
	EGRETS_RETURN,	       /* calls of connect whose return was not traced */
	EGRETS_DNS_BUDGET,     /* DNS messages beyond a socket's budget */
	EGRETS_PAYLOAD_BUDGET, /* beginnings of connections beyond a user's budget */
	EGRETS_KINDS,
};

enum egrets_exe_flag {
	EGRETS_EXE_DELETED = 1,
	EGRETS_EXE_CUT = 2, /* the path has a beginning that was not read */
	EGRETS_EXE_SHARED =
		4, /* a user other than root can change the file, or what is at its path */
};

/* Where an executable's path holds: the mount namespace of the mount that it is on. */
enum egrets_exe_view {
	EGRETS_EXE_UNKNOWN,
	EGRETS_EXE_HOST,      /* the mount namespace of the host's first process */
	EGRETS_EXE_NAMESPACE, /* another one, of the initial user namespace: root's */
	EGRETS_EXE_USER,      /* one of another user namespace, which any user can create */
	EGRETS_EXE_DETACHED,  /* none: the mount was removed lazily, or never mounted */
	EGRETS_EXE_MEMORY,    /* a memfd, which has no path */
};

struct egrets_header {
	__u64 ts;
	__u32 kind;  /* enum egrets_kind */
	__u32 share; /* whose part of the ring buffer it takes until it is read: share.h */
};

/*
 * The process behind an event, read in its own context. Of a TCP socket of which no process is
 * known tgid is 0, and the user is the one who created the socket.
 */
struct egrets_owner {
	__u64 start_ns;	 /* of the thread group leader: distinguishes reused pids */
	__u64 exec_id;	 /* execs so far, those of its ancestors before the forks included */
	__u64 cgroup_id; /* in the cgroup2 hierarchy */
	__u64 netns_cookie;
	__u64 mntns_id; /* never reused, unlike the inode number */
	__u32 tgid;
	__u32 tid;
	__u32 uid;		    /* real user id, in the initial user namespace */
	__u32 netns;		    /* inode number */
	__u32 mntns;		    /* inode number */
	__u32 login_uid;	    /* audit's loginuid; EGRETS_NO_LOGIN without login or audit */
	__u8 comm[EGRETS_COMM_LEN]; /* of the leader: threads rename themselves */
	__u32 foreign;		    /* in another user or pid namespace than the initial one */
	__u32 euid;		    /* effective user id: whose rights it acts with */
};

/* Every byte counts in a flow's key. */
struct egrets_endpoint {
	__u8 addr[16];
	__u16 port;	/* 0 where the protocol has none, or it is unknown */
	__u16 protocol; /* of a flow: IPPROTO_*, EGRETS_PROTOCOL_PACKET */
	__u32 route; /* of a flow: enum egrets_route, or of a source route its first hop's hash */
};

enum egrets_route {
	EGRETS_DIRECT,
	/* of a flow without an address: what a socket sent beyond its budget of destinations, */
	EGRETS_OTHERS,
	/* and beyond that of peers that sent first */
	EGRETS_OTHER_PEERS,
	EGRETS_ROUTES,
};

struct egrets_fork {
	struct egrets_header h;
	__u64 start_ns;
	__u64 parent_start_ns;
	__u32 tgid;
	__u32 parent_tgid;
	__u64 creator_start_ns; /* the caller of fork: the parent, or with CLONE_PARENT a sibling */
	__u32 creator_tgid;
	__u32 session; /* pid of the session leader, setsid(2) */
	__u32 uid;     /* as in struct egrets_owner */
	__u32 pad;
};

/*
 * data holds argv_len bytes of argv, each argument terminated by a NUL, then exe_len bytes:
 * the components of the executable's path, last one first, each terminated by a NUL.
 */
struct egrets_exec {
	struct egrets_header h;
	struct egrets_owner owner;
	__u64 parent_start_ns;
	__u32 parent_tgid;
	__u32 argv_total; /* length of argv before it was cut */
	__u32 argv_len;
	__u32 exe_len;
	__u32 session; /* as in struct egrets_fork */
	__u32 exe_dev; /* dev_t of the executable's file system, as the kernel has it */
	__u64 exe_ino;
	__u8 exe_flags; /* enum egrets_exe_flag */
	__u8 exe_view;	/* enum egrets_exe_view */
	__u8 pad[6];
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
	__u8 raw;		    /* a raw socket: the process writes its own headers */
	__u8 inbound;		    /* the peer sent first */
	__u8 denied;		    /* netfilter refused the packet */
	__u8 has_hop;		    /* source routing: */
	__u8 hop[16];		    /* the packet goes there first */
};

/* The first hop of a TCP connection with a source route. */
struct egrets_hop {
	struct egrets_header h;
	__u64 cookie;
	__u8 hop[16];
};

/* The first process that was seen to use a TCP socket of which none was known. */
struct egrets_claim {
	struct egrets_header h;
	struct egrets_owner owner;
	__u64 cookie;
};

/* What connect returned. */
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
	__u8 has_bytes; /* 0: bytes unknown (MPTCP before 6.5) */
	__u8 was_open;	/* EGRETS_CLOSE: 1 if there was a connection */
	__u8 pad[2];
	__u32 shared_tgid; /* see struct egrets_sock */
	__u32 pad2;
};

/*
 * A TCP socket was released without a change of state, or a socket with more flows than are
 * ended at once: then next is the first one left. With lingers, userspace ends them only if
 * the kernel side has not done so some time later.
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

/* The peer has answered the first packet of an SCTP flow. */
struct egrets_association {
	struct egrets_header h;
	__u64 cookie;
	struct egrets_endpoint dst;
	__u32 refused; /* 0: it is established */
	__u32 pad;
};

/* UDP: one or more messages. TCP: a segment with any part of the stream of messages. */
struct egrets_dns {
	struct egrets_header h;
	struct egrets_owner owner;
	__u64 cookie;
	struct egrets_endpoint server; /* as the process named it, before any NAT */
	__u32 wire_len;		       /* length of the packet's or segment's payload */
	__u32 len;		       /* bytes of it in payload */
	__u32 seq;		       /* TCP: sequence number of the first byte */
	__u32 ack;		       /* TCP: next byte expected from the other side */
	__u8 ingress;
	__u8 tcp;
	__u16 gso_size; /* UDP: size of each message but the last (UDP_SEGMENT, UDP_GRO), or 0 */
	__u8 denied;	/* netfilter refused the packet */
	__u8 pad[3];
	__u8 payload[];
};

enum egrets_payload_kind {
	EGRETS_PAYLOAD_NONE,
	EGRETS_PAYLOAD_TLS,   /* a ClientHello */
	EGRETS_PAYLOAD_HTTP,  /* a request of HTTP/1 */
	EGRETS_PAYLOAD_QUIC,  /* a datagram of QUIC's first ones */
	EGRETS_PAYLOAD_HTTP2, /* what a client of HTTP/2 sends without TLS */
	EGRETS_PAYLOAD_SOCKS, /* what a client of a SOCKS proxy sends */
	EGRETS_PAYLOAD_DTLS,  /* a datagram with a ClientHello, or a part of one */
};

/* Some of what a client sends first. */
struct egrets_payload {
	struct egrets_header h;
	__u64 cookie;
	struct egrets_endpoint peer;
	__u32 payload_kind; /* enum egrets_payload_kind */
	__u32 start;	    /* TCP: where it begins in the stream of what was sent */
	__u32 offset;	    /* of these bytes from there */
	__u32 len;	    /* bytes in payload */
	__u32 gso_size;	    /* UDP: as in struct egrets_dns */
	__u32 pad;
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

/* Beyond a rule's index. */
enum egrets_rule {
	EGRETS_RULE_SNI = 0xfffb,	   /* the setting sni */
	EGRETS_RULE_UNKNOWN = 0xfffc,	   /* the setting unknown_containers */
	EGRETS_RULE_SOURCE_ROUTE = 0xfffd, /* the setting source_routing */
	EGRETS_RULE_ESSENTIAL = 0xfffe,	   /* open under any default */
	EGRETS_RULE_DEFAULT = 0xffff,
};

enum egrets_action {
	EGRETS_ALLOW,
	EGRETS_ALERT,
	EGRETS_BLOCK, /* this one and those after it refuse */
	EGRETS_SUSPEND,
	EGRETS_KILL,
	EGRETS_DUMP,
};

/* Of an attempt, after its EGRETS_CONNECT; of a flow at its first packet and at each change. */
struct egrets_verdict {
	struct egrets_header h;
	__u64 cookie;
	__u64 start_ns; /* of the process, as in struct egrets_owner */
	struct egrets_endpoint dst;
	__u32 tgid;
	__u32 generation; /* of the policy */
	__u16 rule;	  /* index, or enum egrets_rule */
	__u8 action;	  /* enum egrets_action */
	__u8 enforced;	  /* 0: only observed */
	__u8 said;	  /* 1: on what an open connection says */
	__u8 pad[3];
};

/* Output of the iterator over all files: a socket that is older than egrets. */
struct egrets_open_sock {
	struct egrets_owner owner;
	__u64 cookie; /* 0: the kernel has not assigned one yet */
	__u64 inode;
	struct egrets_endpoint src;
	struct egrets_endpoint dst; /* port 0: not connected */
	__u32 fd;		    /* of owner.tgid */
	__u32 state;		    /* enum bpf_tcp_state */
	__u16 protocol;		    /* IPPROTO_* */
	__u16 sock_type;	    /* enum sock_type */
	__u32 share;		    /* see share.h */
	__u64 tx_bytes;		    /* TCP: payload so far */
	__u64 rx_bytes;
	__u8 has_bytes;
	__u8 known;	 /* a hook has created its entry: it is not older */
	__u8 is_path;	 /* a TCP socket of the MPTCP socket that has this inode and descriptor */
	__u8 dialled;	 /* TCP: it has sent a SYN, whatever listens on its port */
	__u32 creator;	 /* user who created the socket */
	__u64 cgroup_id; /* that it was created in; 0: not known */
};

/* What a scan finds of a socket of socks. */
enum egrets_scan_result {
	EGRETS_SCAN_NOTHING, /* no entry, or no TCP connection that is open */
	EGRETS_SCAN_OPEN,
	EGRETS_SCAN_STALE, /* the socket no longer exists */
};

/* A socket in a scan: userspace sets the cookie, the program the rest. */
struct egrets_scan {
	__u64 cookie;
	__u64 tx_bytes; /* payload, without retransmissions */
	__u64 rx_bytes;
	__u32 result; /* enum egrets_scan_result */
	__u32 pad;
};

/* Bytes that TLS in the kernel adds to the application's. */
struct egrets_tls_overhead {
	__u64 tx;
	__u64 rx;
};

enum egrets_sock_kind {
	EGRETS_PLAIN, /* TCP, MPTCP or UDP */
	EGRETS_OTHER, /* UDP-Lite, SCTP, ping sockets and the like */
	EGRETS_RAW,
};

/* A packet socket's cookie is its inode number with this bit set. */
enum egrets_packet_sock_id {
	EGRETS_PACKET_SOCK_BIT = 63,
};
#define PACKET_SOCK_ID (1ULL << EGRETS_PACKET_SOCK_BIT)

/* A socket: its owner and its destinations. */
struct egrets_sock {
	struct egrets_owner owner;
	struct egrets_endpoint last_dst;    /* UDP: last destination named; TCP: DNS server */
	struct egrets_endpoint newest_flow; /* head of the list of flows */
	__u64 sk;			    /* address of its struct sock, which may be gone */
	struct egrets_tls_overhead tls;	    /* TCP: as last read */
	__u64 dns_budget_ts;		    /* start of the period that dns_bytes counts */
	__u32 dns_bytes;
	__u32 flow_count;
	__u32 associations; /* SCTP: established and not ended */
	__u32 shared_tgid;  /* a process other than the owner that used the socket, or 0 */
	__u32 err;	    /* TLS: sk_err at CLOSE */
	__u8 dns;	    /* named a DNS port: a DNS client */
	__u8 established;   /* TCP: reported as such */
	__u8 released;	    /* its process has closed it; SCTP associations may go on */
	__u8 close_pending; /* TLS: CLOSE is reported at the release */
	__u8 kind;	    /* enum egrets_sock_kind */
	__u8 unowned;	    /* TCP: no process of it is known */
	__u16 share;	    /* whose table entry it is: share.h */
	__u32 route;	    /* of the last packet; 0: none */
	__u32 answered;	    /* flows to peers that sent first */
};

struct egrets_packet_sock {
	struct egrets_sock sock; /* first: userspace reads it alone too; has no list of flows */
	__u64 skb;		 /* its last frame, a struct sk_buff, */
	__u64 dev;		 /* and the last device that got it */
	__u64 last_ts;		 /* when it was counted */
};

struct egrets_flow_key {
	__u64 cookie;
	struct egrets_endpoint peer;
};

enum egrets_flow_state {
	FLOW_PENDING,	 /* nothing was sent yet */
	FLOW_REPORTED,	 /* its first packet left and was reported */
	FLOW_UNREPORTED, /* its first packet left and the report was lost */
};

struct egrets_flow {
	__u64 tx_bytes;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 rx_packets;
	__u64 last_ts;
	__u32 state; /* enum egrets_flow_state */
	__u32 tsn;   /* SCTP: of the last new chunk of data sent */
	__u8 has_next;
	__u8 has_tsn;
	__u8 established; /* SCTP: there is an association */
	__u8 owned;	  /* owner is set; otherwise it is the socket's */
	__u16 share;	  /* as in struct egrets_sock */
	__u8 inbound;	/* the way that the peer, which sent first, did so: WAY_DEVICE, WAY_HOST */
	__u8 requested; /* SCTP: an association, and the peer has not answered */
	/* SCTP's verification tags: what comes in has the local one, what is sent the peer's */
	__u32 local_tag;
	__u32 peer_tag;
	__u8 closing; /* SCTP: this side has acknowledged the peer's shutdown */
	__u8 pad[7];
	struct egrets_endpoint next; /* the socket's flow before this one */
	struct egrets_owner owner;   /* who named the destination */
};

/* How many entries of each table a user has. */
struct egrets_share {
	__u32 socks;
	__u32 flows;
	__u32 packet_socks;
	__u32 packet_flows;
	/* places in the rings of the tables that forget: order.h */
	__u32 next_inbound;
	__u32 next_lost;
	__u32 unread; /* bytes of the ring buffer: ring.h */
	__u32 pad;
};

/* Variables that the recorder's programs and the policy's share. Userspace has them mapped. */
struct egrets_shared {
	struct egrets_share shares[EGRETS_SHARES]; /* by share.h's ids */
	__u64 lost[EGRETS_KINDS];		   /* records, by enum egrets_kind */
	__u32 reader_idle; /* 1 while the reader sleeps without a time limit: see ring.h */
	__u32 pad;
};

#endif
