"""Azurite, Microsoft's own emulator of Azure's blob storage, on loopback, with the container
`bucket`. Prints its port; then each line on stdin is a directory and the beginning of names: such
blobs are copied into it, and it is printed."""

import pathlib
import socket
import subprocess
import sys
import time

from azure.storage.blob import BlobServiceClient

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

azurite = pathlib.Path(sys.prefix) / "node_modules/azurite/dist/src/blob/main.js"
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
server = subprocess.Popen(
    ["node", azurite, "--inMemoryPersistence", "--silent", "--disableTelemetry", "--blobPort", str(port)],
    stdin=subprocess.DEVNULL,
    stdout=subprocess.DEVNULL,
)
try:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    account = BlobServiceClient(
        f"http://127.0.0.1:{port}/devstoreaccount1", credential=KEY, api_version="2025-11-05"
    )
    blobs = account.create_container("bucket")
    print(port, flush=True)
    for line in sys.stdin:
        directory, prefix = line.split()
        directory = pathlib.Path(directory)
        for blob in blobs.list_blobs(name_starts_with=prefix):
            path = directory / blob.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(blobs.download_blob(blob.name).readall())
        print(directory, flush=True)
finally:
    server.terminate()
    server.wait()
