// A shop in Node.js that has never heard of a mesh: it listens on PORT, asks the cart and the catalog at once by
// the URLs in its environment, and passes the tracing headers on, as applications in any mesh must.

const http = require("node:http");

const TRACING = ["x-request-id", "traceparent", "tracestate"];
const agent = new http.Agent({ keepAlive: true });

function tracing(headers) {
  return Object.fromEntries(TRACING.filter((name) => name in headers).map((name) => [name, headers[name]]));
}

function get(url, headers) {
  return new Promise((resolve) => {
    const request = http.get(url, { agent, headers: tracing(headers) }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (chunk) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode, body: body.trim() }));
    });
    request.on("error", (error) => resolve({ status: 503, body: error.message }));
  });
}

const server = http.createServer(async (request, response) => {
  const [catalog, cart] = await Promise.all([
    get(process.env.CATALOG_URL ?? "http://catalog/", request.headers),
    get(process.env.CART_URL ?? "http://cart/", request.headers),
  ]);
  const ok = catalog.status < 400 && cart.status < 400;
  response.writeHead(ok ? 200 : 502, { "content-type": "application/json" });
  response.end(JSON.stringify({ shop: "node " + process.versions.node, catalog: catalog.body, cart: cart.body }) + "\n");
});

server.listen(Number(process.env.PORT), process.env.HOST);
