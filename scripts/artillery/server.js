// What the tests beside it load: answers after fixed times, rooms over Socket.IO, an echo over WebSocket. It counts
// what comes, and tells it at /counts. Argument: its port.
'use strict';

const http = require('node:http');
const { Server } = require('socket.io-4');
const WebSocket = require('ws');

// Milliseconds until an answer, by the first part of the path: so long that what the programs themselves take, some
// milliseconds, is within what percentiles may differ by.
const TIMES = {
  items: 425, orders: 600, login: 400, slow: 1100, missing: 500, error: 500, page: 500, old: 500, head: 500, basic: 500,
};
const OTHERS = 500;
const PAGE = '<html><body><a href="/items/3">three</a> code=XY12</body></html>';

const counts = {};

const json = (response, status, value, headers = {}) => {
  const text = JSON.stringify(value);
  const length = Buffer.byteLength(text);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': length, ...headers });
  response.end(text);
};

const answers = {
  missing: (request, response) => json(response, 404, {}),
  error: (request, response) => json(response, 500, {}),
  old: (request, response) => response.writeHead(302, { location: '/page', 'content-length': 0 }).end(),
  login: (request, response) => {
    const headers = { 'set-cookie': 'sid=abc; Path=/', 'x-request': 'r-9' };
    json(response, 200, { token: 't-1', user: { id: 7 } }, headers);
  },
  page: (request, response) => {
    response.writeHead(200, { 'content-type': 'text/html', 'content-length': PAGE.length }).end(PAGE);
  },
  basic: (request, response) => json(response, request.headers.authorization ? 200 : 401, {}),
  orders: (request, response, body) => {
    const cookie = request.headers.cookie ?? '';
    json(response, 201, { order: { id: 12, items: [1, 2] }, bytes: body.length, cookie });
  },
};
const items = (request, response) => {
  const id = request.url.match(/\/(\d+)/);
  const list = ['a', 'b', 'c'].map((name, index) => ({ id: index + 1, name }));
  json(response, 200, id ? { id: Number(id[1]), price: 3 } : { items: list, more: false });
};

const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', () => {
    const place = request.url.split('?')[0].replace(/\/\d+$/, '/{id}');
    if (place === '/counts') {
      response.end(JSON.stringify(counts, Object.keys(counts).sort()));
      return;
    }
    const key = `${request.method} ${place}`;
    counts[key] = (counts[key] ?? 0) + 1;
    const first = place.split('/')[1];
    setTimeout(() => (answers[first] ?? items)(request, response, body), TIMES[first] ?? OTHERS);
  });
});

const rooms = new Server(server, { path: '/socket.io' });
const serve = (socket) => {
  socket.on('echo', (data, acknowledge) => setTimeout(() => {
    if (acknowledge) acknowledge(data);
    else socket.emit('echoed', data);
  }, 500));
  socket.on('join', (room) => {
    socket.join(String(room));
    socket.emit('joined', { room });
  });
};
rooms.on('connection', serve);
rooms.of('/chat').on('connection', serve);

const echo = new WebSocket.Server({ noServer: true });
server.on('upgrade', (request, socket, head) => {
  if (!request.url.startsWith('/ws')) return;
  echo.handleUpgrade(request, socket, head, (opened) => {
    opened.on('message', (message) => setTimeout(() => opened.send(message.toString()), OTHERS));
  });
});

server.keepAliveTimeout = 60_000;
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('up'));
