"""A server of S3's protocol on loopback, with the bucket `bucket`. Prints its port; then each
line on stdin is a directory and the beginning of names: such objects are copied into it, and it is
printed."""

import logging
import pathlib
import sys

import boto3
from moto.server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
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
