/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * TLS that the kernel does for an application: what it adds to each record (header,
 * nonce, tag) passes TCP too, and is not the application's. The number of records is
 * known, and so is what each has more.
 */
#ifndef EGRETS_KTLS_H
#define EGRETS_KTLS_H

#define TLS_ULP 0x00736c74 /* "tls", the name of its struct tcp_ulp_ops */

/* include/uapi/linux/tls.h: the ciphers with longer keys or nonces */
#define TLS_CIPHER_AES_GCM_256 52
#define TLS_CIPHER_CHACHA20_POLY1305 54
#define TLS_CIPHER_ARIA_GCM_256 58

/* Before 6.7: a pointer to the number. */
struct cipher_context___pointer {
	char *rec_seq;
} __attribute__((preserve_access_index));

/* How many records there were since the application handed the keys over. */
static __always_inline __u64 records(const struct cipher_context *cipher,
				     const union tls_crypto_context *given)
{
	const struct cipher_context___pointer *older = (const void *)cipher;
	__u16 type = BPF_CORE_READ(given, info.cipher_type);
	/* where struct tls12_crypto_info_… has the number of the first one: it is the last */
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
		bpf_probe_read_kernel(&now, sizeof(now), BPF_CORE_READ(older, rec_seq));
	bpf_probe_read_kernel(&first, sizeof(first), (const void *)given + off);
	return bpf_be64_to_cpu(now) - bpf_be64_to_cpu(first);
}

/*
 * Whether the kernel does TLS for it, and what that has added so far, both ways: to what
 * came in as far as the application has read it. TLS lets go of a socket when its process
 * does, before TCP closes it: then there is nothing new.
 */
static __always_inline bool tls_added(const struct sock *sk, struct egrets_added *added)
{
	const struct inet_connection_sock *icsk = (const void *)sk;
	const struct tcp_ulp_ops *ops = BPF_CORE_READ(icsk, icsk_ulp_ops);
	__u32 name = 0;

	if (!bpf_core_type_exists(struct tls_context))
		return false; /* a kernel without, or with a module that is not loaded */
	if (!ops || bpf_core_read(&name, sizeof(name), &ops->name) || name != TLS_ULP)
		return false;
	const struct tls_context *tls = BPF_CORE_READ(icsk, icsk_ulp_data);

	if (!tls)
		return false;
	__u64 each = BPF_CORE_READ(tls, prot_info.overhead_size);

	added->tx = each * records(&tls->tx, &tls->crypto_send);
	added->rx = each * records(&tls->rx, &tls->crypto_recv);
	return true;
}

#endif
