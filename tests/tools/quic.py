"""QUIC by aioquic: quic.py serve CERT KEY ADDRESS PORT | get ADDRESS PORT [NAME [1|2]]"""

import asyncio
import ssl
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated
from aioquic.quic.packet import QuicProtocolVersion

VERSIONS = {"1": QuicProtocolVersion.VERSION_1, "2": QuicProtocolVersion.VERSION_2}


class Pages(QuicConnectionProtocol):
    """Answers every request of HTTP/3 with a page."""

    http = None

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        if self.http is None:
            return
        for request in self.http.handle_event(event):
            if isinstance(request, HeadersReceived):
                headers = [(b":status", b"200"), (b"content-type", b"text/html")]
                self.http.send_headers(request.stream_id, headers)
                self.http.send_data(request.stream_id, b"<p>quic", end_stream=True)
        self.transmit()


async def server(cert, key, address, port):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(cert, key)
    await serve(
        address, int(port), configuration=configuration, create_protocol=Pages, retry=True
    )
    print("serves", flush=True)
    await asyncio.Event().wait()


async def get(address, port, name=None, version="1"):
    configuration = QuicConfiguration(
        is_client=True, alpn_protocols=["h3"], verify_mode=ssl.CERT_NONE, server_name=name or ""
    )
    configuration.original_version = VERSIONS[version]
    configuration.supported_versions = list(VERSIONS.values())
    async with connect(address, int(port), configuration=configuration) as connection:
        await connection.ping()


asyncio.run({"serve": server, "get": get}[sys.argv[1]](*sys.argv[2:]))
