"""A server of S3's protocol on loopback, with the bucket `bucket`. Prints its port; then each
line on stdin is a directory and the beginning of names: such objects are copied into it, and it is
printed.

Google's XML API is the same but for its condition of a put, which is translated: no emulator of
Google's has all of what the API takes. fake-gcs-server has no PUT of an object there, and
gcp-storage-emulator no list and no DELETE."""

import logging
import pathlib
import sys

import boto3
from moto.moto_server import threaded_moto_server
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)


class Application(threaded_moto_server.DomainDispatcherApplication):
    """Moto's, with Google's condition that there is no such object."""

    def __call__(self, environ, start_response):
        if environ.pop("HTTP_X_GOOG_IF_GENERATION_MATCH", None) == "0":
            environ["HTTP_IF_NONE_MATCH"] = "*"
        return super().__call__(environ, start_response)


threaded_moto_server.DomainDispatcherApplication = Application
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
_, port = server.get_host_and_port()
s3 = boto3.client(
    "s3",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name="us-east-1",
    aws_access_key_id="a",
    aws_secret_access_key="b",
)
s3.create_bucket(Bucket="bucket")
print(port, flush=True)
for line in sys.stdin:
    directory, prefix = line.split()
    directory = pathlib.Path(directory)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    for page in pages:
        for entry in page.get("Contents", []):
            path = directory / entry["Key"]
            path.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file("bucket", entry["Key"], str(path))
    print(directory, flush=True)
server.stop()
