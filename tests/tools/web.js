// Pages over TLS (HTTP/2 and HTTP/1.1) on ports 443 and 8443 and over HTTP/2 without TLS on 8080, and
// DNS over HTTPS (RFC 8484) at /dns-query, for any name: web.js KEY CERT ADDRESS
"use strict";
const fs = require("fs");
const http2 = require("http2");

const [key, cert] = process.argv.slice(2, 4).map((file) => fs.readFileSync(file));
const address = process.argv[4];

// Every name below test has the address; other names have none, and there is nothing else.
function answer(query) {
  let end = 12;
  while (query[end]) end += query[end] + 1;
  end += 5;
  const isAddress = query.readUInt16BE(end - 4) === 1;
  const isKnown = isAddress && query.toString("latin1", 12, end - 5).toLowerCase().endsWith("\x04test");
  const header = Buffer.from([query[0], query[1], 0x81, 0x80, 0, 1, 0, +isKnown, 0, 0, 0, 0]);
  const record = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split(".").map(Number)];
  return Buffer.concat([header, query.subarray(12, end), Buffer.from(isKnown ? record : [])]);
}

function serve(request, response) {
  const url = new URL(request.url, "https://any.test");
  if (url.pathname !== "/dns-query") {
    response.setHeader("content-type", "text/html");
    // another one, over QUIC
    response.end(url.pathname === "/frame" ? '<p>page<iframe src="https://quic.test:4433/"></iframe>' : "<p>page");
    return;
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const query = url.searchParams.get("dns");
    response.setHeader("content-type", "application/dns-message");
    response.end(answer(query ? Buffer.from(query, "base64url") : Buffer.concat(parts)));
  });
}

const secure = () => http2.createSecureServer({ key, cert, allowHTTP1: true }, serve);
const servers = [
  [secure(), 443],
  [secure(), 8443],
  [http2.createServer(serve), 8080],
];
let missing = servers.length;
for (const [server, port] of servers) {
  server.on("sessionError", () => {});
  server.listen(port, () => --missing || console.log("serves"));
}
