"""client.py URL…: gets each over TLS, without a look at certificates."""

import ssl
import sys
from urllib.request import urlopen

for url in sys.argv[1:]:
    urlopen(url, context=ssl._create_unverified_context()).read()
