// client.js URL…: gets each, over TLS, or by HTTP/2 without it.
"use strict";
const https = require("https");
const http2 = require("http2");

for (const url of process.argv.slice(2)) {
  if (url.startsWith("https:")) {
    https.get(url, { rejectUnauthorized: false }, (response) => response.resume());
  } else {
    const session = http2.connect(url);
    const stream = session.request({ ":path": "/" });
    stream.on("end", () => session.close());
    stream.resume();
  }
}
