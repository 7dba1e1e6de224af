"""QUIC by aioquic: quic.py serve CERT KEY ADDRESS PORT | get ADDRESS PORT [NAME [1|2]]"""

import asyncio
import ssl
import sys

from aioquic.asyncio import connect, serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion

VERSIONS = {"1": QuicProtocolVersion.VERSION_1, "2": QuicProtocolVersion.VERSION_2}


async def server(cert, key, address, port):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(cert, key)
    await serve(address, int(port), configuration=configuration, retry=True)
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
