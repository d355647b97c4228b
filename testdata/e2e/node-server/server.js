// Serves one request from itself, prints what it got and stops, so that a test need not guess when it is up.
const http = require("node:http");
const fs = require("node:fs");

const server = http.createServer((request, response) => response.end(fs.readFileSync(`${__dirname}/greeting.txt`)));
server.listen(Number(process.env.PORT), "127.0.0.1", () => {
  http.get({ port: server.address().port, host: "127.0.0.1" }, (response) => {
    response.setEncoding("utf8");
    let text = "";
    response.on("data", (chunk) => (text += chunk));
    response.on("end", () => {
      console.log(`${text.trim()} as uid ${process.getuid()} in ${process.cwd()} (${process.env.NODE_ENV})`);
      server.close();
    });
  });
});
