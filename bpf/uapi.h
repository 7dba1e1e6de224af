/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Macros of the kernel's headers: its BTF has only types. */
#ifndef EGRETS_UAPI_H
#define EGRETS_UAPI_H

/* include/linux/socket.h */
#define AF_INET 2
#define AF_INET6 10
#define AF_PACKET 17
#define AF_XDP 44

#define LOOPBACK_IFINDEX 1 /* include/net/flow.h */

#define PACKET_LOOPBACK 5 /* include/uapi/linux/if_packet.h: a copy of a multicast packet */

/* include/uapi/linux/if_ether.h */
#define ETH_P_IP 0x0800
#define ETH_P_8021Q 0x8100
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021AD 0x88a8
#define ETH_TYPE_OFFSET 12 /* after the two addresses */

#define IPPROTO_ICMPV6 58 /* include/uapi/linux/in6.h */

/* include/uapi/linux/if_arp.h */
#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772

/* include/uapi/asm-generic/errno.h, include/linux/errno.h */
#define EINTR 4
#define EINVAL 22
#define EAFNOSUPPORT 97
#define EINPROGRESS 115
#define ERESTARTSYS 512

#define MAX_ERRNO 4095 /* include/linux/err.h */

/* include/uapi/linux/errqueue.h */
#define SO_EE_ORIGIN_ICMP 2
#define SO_EE_ORIGIN_ICMP6 3

/* include/uapi/linux/stat.h */
#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define S_ISVTX 0001000
#define S_IWOTH 00002

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
#define NAME_MAX 255	      /* include/uapi/linux/limits.h */

#endif
