/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The name of the server that a client's first bytes say: server_name of a TLS ClientHello (RFC
 * 6066, section 3), or Host of a request of HTTP/1 (RFC 9112, section 3.2). The process writes
 * them: what is not plainly a name is none, and nothing is guessed. As in policy_names_message.h,
 * they are copied to a scratch entry.
 */
#ifndef EGRETS_POLICY_SERVER_NAME_H
#define EGRETS_POLICY_SERVER_NAME_H

#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "policy_names_hash.h"
#include "policy_names_mask.h"
#include "policy_names_message.h"
#include "policy_names_set.h"
#include "policy_names_types.h"
#include "tls.h"

/* RFC 8446, section 4.1.2 */
#define TLS_SESSION_ID 43 /* its length: behind version and random */
#define TLS_SERVER_NAME 0 /* the extension's type */
#define TLS_EXTENSIONS 64 /* that are looked through */
/* of the extension: type, length, list's length, kind, name's length */
#define SERVER_NAME_HEAD 9

#define HEADERS_MAX 1024 /* bytes in which Host is looked for */
#define METHOD_MAX 16	 /* bytes of the request's method */
#define SPACES 4	 /* behind "Host:" */

/* Where the name is, and its length; 0: there is none. */
#define PLACE(at, len) ((__u32)(at) << 16 | (__u32)(len))

/* An extension in which the message has it; 0 if it is malformed. */
static __always_inline __u32 server_name_in(const struct names_scratch *s, __u32 at, __u32 size)
{
	__u32 list = message_u16(s, at + 4);
	__u32 len = message_u16(s, at + 7);

	if (size != list + 2 || list != len + 3 || message_byte(s, at + 6))
		return 0;
	return PLACE(at + SERVER_NAME_HEAD, len);
}

/*
 * Of a ClientHello in one record. Its end may be missing: the name is known when it is there. Two
 * of them, which no server takes, are none.
 */
__noinline __u32 tls_server_name(__u64 id)
{
	struct names_scratch *s = scratch(id);

	if (!s)
		return 0;
	__u32 hello = message_byte(s, 6) << 16 | message_u16(s, 7);

	if (message_byte(s, 1) != TLS_MAJOR ||
	    message_byte(s, TLS_RECORD_HEADER) != TLS_CLIENT_HELLO ||
	    hello + TLS_HANDSHAKE_HEADER > message_u16(s, 3))
		return 0;
	__u32 at = TLS_SESSION_ID + 1 + message_byte(s, TLS_SESSION_ID);

	at += 2 + message_u16(s, at);  /* cipher_suites */
	at += 1 + message_byte(s, at); /* legacy_compression_methods */
	at += 2;		       /* the length of the extensions */
	IN_MEMORY(s->at) = at;
	IN_MEMORY(s->place) = 0;
	for (int i = 0; i < TLS_EXTENSIONS; i++) {
		__u32 here = IN_MEMORY(s->at);
		__u32 size = message_u16(s, here + 2);

		if (here + SERVER_NAME_HEAD > IN_MEMORY(s->len) || here >= TLS_HEADERS + hello)
			break;
		if (message_u16(s, here) == TLS_SERVER_NAME) {
			if (IN_MEMORY(s->place))
				return 0;
			IN_MEMORY(s->place) = server_name_in(s, here, size);
			if (!IN_MEMORY(s->place))
				return 0;
		}
		IN_MEMORY(s->at) = here + 4 + size;
	}
	return IN_MEMORY(s->place);
}

/*
 * Whether the request's target is a path or *: with a whole address there, Host does not count
 * (RFC 9112, section 3.2.2), and a proxy is asked.
 */
static __always_inline bool is_origin_form(const struct names_scratch *s)
{
	for (__u32 i = 1; i < METHOD_MAX; i++) {
		__u32 byte = message_byte(s, i);

		if (byte == ' ')
			return message_byte(s, i + 1) == '/' || message_byte(s, i + 1) == '*';
		if (byte < 'A' || byte > 'Z')
			return false;
	}
	return false;
}

/* Bytes in memory as the word that they are in. */
#define TEXT(a, b, c, d, e, f)                                                                     \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 |   \
	 (__u64)(f) << 40)
#define HOST_FIELD TEXT('\n', 'h', 'o', 's', 't', ':')
#define HEADERS_END TEXT('\n', '\r', '\n', 0, 0, 0)
#define LINES_END TEXT('\n', '\n', 0, 0, 0, 0)

/* Host of a request, whose last headers may be missing. Two of them are none. */
__noinline __u32 http_host(__u64 id)
{
	struct names_scratch *s = scratch(id);

	if (!s || !is_origin_form(s))
		return 0;
	IN_MEMORY(s->place) = 0;
	for (__u32 i = 0; i < HEADERS_MAX; i++) {
		__u64 word = message_word(s, i);

		/* without further branches, of which the verifier bears so many */
		if ((i >= IN_MEMORY(s->len)) | ((word & 0xffffff) == HEADERS_END) |
		    ((word & 0xffff) == LINES_END))
			break;
		if ((lower_case(word) & 0xffffffffffff) != HOST_FIELD)
			continue;
		if (IN_MEMORY(s->place))
			return 0;
		IN_MEMORY(s->place) = i + 6;
	}
	__u32 at = IN_MEMORY(s->place);

	if (!at)
		return 0;
	for (int i = 0; i < SPACES; i++) {
		__u32 byte = message_byte(s, at);

		if (byte != ' ' && byte != '\t')
			break;
		at++;
	}
	IN_MEMORY(s->at) = at;
	for (__u32 i = 0; i <= NAME_MAX_LEN; i++) {
		__u32 byte = message_byte(s, IN_MEMORY(s->at) + i);

		if (byte == '\r' || byte == '\n' || byte == ':' || byte == ' ')
			return PLACE(IN_MEMORY(s->at), i);
	}
	return 0;
}

/*
 * A name as text becomes one as DNS has it, in its place: a label's length stands where the dot
 * before it was. Returns the offset of the first length; 0 if it is no name.
 */
__noinline __u32 make_labels(__u64 id, __u32 at, __u32 len)
{
	struct names_scratch *s = scratch(id);

	if (!s || !at || !len || len > NAME_MAX_LEN - 2 || at + len > IN_MEMORY(s->len) ||
	    at + len >= MESSAGE_MAX)
		return 0;
	if (message_byte(s, at + len - 1) == '.')
		len--;
	IN_MEMORY(s->next) = len;
	IN_MEMORY(s->name_len) = 0; /* of the label */
	for (__u32 i = 0; i < NAME_MAX_LEN; i++) {
		__u32 rest = IN_MEMORY(s->next) - i;
		__u32 label = IN_MEMORY(s->name_len);

		if (i >= IN_MEMORY(s->next))
			break;
		__u32 here = (at + rest - 1) & (MESSAGE_MAX - 1);

		if (s->message[here] == '.') {
			if (!label)
				return 0;
			s->message[here] = label;
			IN_MEMORY(s->name_len) = 0;
			continue;
		}
		if (label >= LABEL_MAX)
			return 0;
		IN_MEMORY(s->name_len) = label + 1;
	}
	IN_MEMORY(s->len) = at + IN_MEMORY(s->next) + 1; /* it may be the message's end */
	s->message[(at + IN_MEMORY(s->next)) & (MESSAGE_MAX - 1)] = 0;
	s->message[(at - 1) & (MESSAGE_MAX - 1)] = IN_MEMORY(s->name_len);
	return IN_MEMORY(s->name_len) ? at - 1 : 0;
}

/* The set (policy.h) of the name that the message says, in the form of enum policy_said. */
__noinline __u32 server_name_set(__u64 id, __u32 generation)
{
	struct names_scratch *s = scratch(id);

	if (!s)
		return NOTHING_SAID;
	__u32 place = message_byte(s, 0) == TLS_HANDSHAKE ? tls_server_name(id) : http_host(id);
	__u32 at = make_labels(id, place >> 16, place & 0xffff);

	if (!at || !read_name(id, at))
		return NOTHING_SAID;
	hash_name(id, 0);
	return NAME_IS_SAID + set_of_suffixes(s->suffixes, IN_MEMORY(s->labels_len), generation);
}

#endif
