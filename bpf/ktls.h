/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TLS in the kernel: TCP counts what it adds to each record (header, nonce, tag), which is
 * not the application's. The number of records is known, and so is the overhead of each.
 */
#ifndef EGRETS_KTLS_H
#define EGRETS_KTLS_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "egrets.h"
#include "read.h"

#define TLS_ULP 0x00736c74 /* "tls", the name of its struct tcp_ulp_ops */

/* include/uapi/linux/tls.h: the ciphers with longer keys or nonces */
#define TLS_CIPHER_AES_GCM_256 52
#define TLS_CIPHER_CHACHA20_POLY1305 54
#define TLS_CIPHER_ARIA_GCM_256 58

/* Until 6.6 a pointer to the number. */
struct cipher_context___before_6_7 {
	char *rec_seq;
} __attribute__((preserve_access_index));

/* Number of records since the application installed the keys. */
static __always_inline __u64 tls_records(const struct cipher_context *cipher,
					 const union tls_crypto_context *keys)
{
	const struct cipher_context___before_6_7 *old = (const void *)cipher;
	__u16 type = BPF_CORE_READ(keys, info.cipher_type);
	/* rec_seq, the last field of struct tls12_crypto_info_*: number of the first record */
	__u32 off = 32;
	__u64 now = 0, first = 0; /* big endian: RFC 5246, section 6.1 */

	if (!type)
		return 0;
	if (type == TLS_CIPHER_AES_GCM_256 || type == TLS_CIPHER_CHACHA20_POLY1305 ||
	    type == TLS_CIPHER_ARIA_GCM_256)
		off = 48;
	if (bpf_core_field_exists(cipher->rec_seq))
		bpf_core_read(&now, sizeof(now), &cipher->rec_seq);
	else
		bpf_probe_read_kernel(&now, sizeof(now), BPF_CORE_READ(old, rec_seq));
	bpf_probe_read_kernel(&first, sizeof(first), (const void *)keys + off);
	return bpf_be64_to_cpu(now) - bpf_be64_to_cpu(first);
}

/*
 * Whether the kernel does TLS for the socket, and the overhead so far in both directions; of
 * what came in, up to where the application has read. TLS detaches from a socket when its
 * process closes it, before TCP does: from then on nothing is added.
 */
static __always_inline bool tls_overhead(const struct sock *sk,
					 struct egrets_tls_overhead *overhead, bool typed)
{
	const struct inet_connection_sock *icsk = (const void *)sk;
	const struct tcp_ulp_ops *ops = READ(typed, icsk, icsk_ulp_ops);
	__u32 name = 0;

	if (!bpf_core_type_exists(struct tls_context))
		return false; /* not built in, and the module is not loaded */
	if (!ops || bpf_core_read(&name, sizeof(name), &ops->name) || name != TLS_ULP)
		return false;
	const struct tls_context *tls = BPF_CORE_READ(icsk, icsk_ulp_data);

	if (!tls)
		return false;
	__u64 each = BPF_CORE_READ(tls, prot_info.overhead_size);

	overhead->tx = each * tls_records(&tls->tx, &tls->crypto_send);
	overhead->rx = each * tls_records(&tls->rx, &tls->crypto_recv);
	return true;
}

#endif
