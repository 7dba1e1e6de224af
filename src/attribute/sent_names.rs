//! What connections say themselves: from captured bytes to the names of connections.

use super::Attributor;
use crate::capture::event::{Payload, PayloadKind};
use crate::model::Record;

/// Ports of protocols that begin in plain text and go on with TLS: SMTP, POP, IMAP, LDAP,
/// submission, MySQL, PostgreSQL.
const STARTTLS: [u16; 7] = [25, 110, 143, 389, 587, 3306, 5432];

impl Attributor {
    pub(super) fn payload(&mut self, piece: &Payload, out: &mut Vec<Record>) {
        match piece.kind.is_datagram() {
            true => self.datagram(piece, out),
            false => self.segment(piece, out),
        }
    }

    fn datagram(&mut self, piece: &Payload, out: &mut Vec<Record>) {
        let key = piece.flow_key();
        let Some(flow) = self.connections.flow_of(&key) else {
            return; // not recorded
        };
        if flow.inbound || flow.wire.is_some() {
            return; // a server's, or the handshake goes on
        }
        let account = flow.process.account;
        if let Some(names) = self.beginnings.piece(account, piece) {
            self.connections.flow_named(&key, names, out);
        }
    }

    fn segment(&mut self, piece: &Payload, out: &mut Vec<Record>) {
        let Some(connection) = self.connections.tcp(piece.cookie) else {
            return; // not recorded
        };
        let is_known = connection.http_host().is_some() || connection.proxied().is_some();
        if piece.kind != PayloadKind::Tls && is_known {
            return; // a body, the next request, or what goes through a proxy
        }
        let port = connection.dst.port;
        let account = connection.process.account;
        let Some(names) = self.beginnings.piece(account, piece) else {
            return;
        };
        // Behind a proxy, TLS is with another peer, and begins later: HTTP's CONNECT, SOCKS.
        let with_peer =
            piece.kind == PayloadKind::Tls && (piece.start == 0 || STARTTLS.contains(&port));
        self.connections.named(piece.cookie, names, with_peer, out);
    }
}
