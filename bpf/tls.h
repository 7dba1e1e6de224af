/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The beginning of a TLS connection: RFC 8446, sections 5.1 and 4. */
#ifndef EGRETS_TLS_H
#define EGRETS_TLS_H

#define TLS_HANDSHAKE 22
#define TLS_MAJOR 3
#define TLS_CLIENT_HELLO 1
#define TLS_RECORD_HEADER 5
#define TLS_HANDSHAKE_HEADER 4
#define TLS_HEADERS (TLS_RECORD_HEADER + TLS_HANDSHAKE_HEADER)

#endif
