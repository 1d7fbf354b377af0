// A service that books appointments, as the tests of load need one: a login in the form of Keycloak's, an API, and
// rooms over Socket.IO. It counts all that comes, and tells it at /counts. Arguments: the package of Socket.IO, its path.
'use strict';

const http = require('node:http');

const [, , name, path] = process.argv;
const counts = { requests: {}, connected: 0, disconnected: 0, events: {}, refused: 0, polls: 0 };
const count = (map, key) => { map[key] = (map[key] ?? 0) + 1; };
let nextAppointment = 1;
const appointments = new Map();

const send = (response, status, value) => {
  const body = value === undefined ? '' : JSON.stringify(value);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
  response.end(body);
};

const lists = ['citizens', 'appointments', 'categories', 'channels', 'services', 'exam_types'];

const answer = (request, response, body) => {
  const url = new URL(request.url, 'http://localhost');
  const [, , , list, id] = url.pathname.split('/');
  if (url.pathname === '/counts') {
    return send(response, 200, counts);
  }
  count(counts.requests, `${request.method} ${url.pathname.replace(/\d+/g, '{id}')}`);
  if (url.pathname.endsWith('/protocol/openid-connect/token')) {
    const form = new URLSearchParams(body);
    const right = form.get('username') === 'cfms-postman-operator' && form.get('password') === 'password';
    return right ? send(response, 200, { access_token: 'token-of-it', expires_in: 300 }) : send(response, 401, {});
  }
  if (request.headers.authorization !== 'Bearer token-of-it') {
    return send(response, 401, { message: 'log in first' });
  }
  if (request.method === 'GET' && lists.includes(list)) {
    return send(response, 200, { [list]: [] });
  }
  if (list !== 'appointments') {
    return send(response, 404, {});
  }
  if (request.method === 'POST') {
    const appointment = { appointment_id: nextAppointment++ };
    appointments.set(String(appointment.appointment_id), appointment);
    return send(response, 201, { appointment });
  }
  const wanted = id === 'draft' ? url.pathname.split('/')[5] : id;
  if (!appointments.has(wanted)) {
    return send(response, 404, {});
  }
  if (request.method === 'DELETE') {
    appointments.delete(wanted);
    return send(response, 204);
  }
  return send(response, 200, { appointment: appointments.get(wanted) });
};

const server = http.createServer((request, response) => {
  let body = '';
  request.on('data', (part) => { body += part; });
  request.on('end', () => answer(request, response, body));
});

const library = require(name);
const options = { path, pingInterval: 300, pingTimeout: 5000, allowEIO3: false };
const io = library.Server ? new library.Server(server, options) : library(server, options);

const serve = (socket) => {
  counts.connected += 1;
  socket.on('disconnect', () => { counts.disconnected += 1; });
  const seen = (event) => count(counts.events, event);
  socket.on('joinRoom', (room) => {
    seen('joinRoom');
    socket.join(room ?? 'all');
    socket.emit('joinRoomSuccess', { room: room ?? 'all', count: counts.events.joinRoom });
  });
  socket.on('echo', (...values) => {
    seen('echo');
    const acknowledge = values.pop();
    acknowledge(...values);
  });
  socket.on('several', (number) => {
    seen('several');
    for (let index = 0; index < number; index += 1) {
      socket.emit('one', { index, of: number });
    }
    socket.emit('other', 'last');
  });
  socket.on('bytes', (bytes, acknowledge) => {
    seen('bytes');
    acknowledge({ length: bytes.length, first: bytes[0] });
    socket.emit('back', Buffer.from(bytes).reverse());
  });
  socket.on('silence', () => { seen('silence'); });
  socket.on('leave', () => { seen('leave'); socket.disconnect(true); });
  socket.on('connecting', () => { seen('connecting'); });
  socket.on('ask', () => {
    seen('ask');
    socket.emit('question', 1, () => { seen('answered'); socket.emit('thanks'); });
  });
};

const rooms = io.of('/chat');
rooms.use((socket, next) => {
  const given = socket.handshake.auth?.token ?? socket.handshake.query?.token;
  if (given === 'right') {
    return next();
  }
  counts.refused += 1;
  return next(new Error('not you'));
});
rooms.on('connection', serve);
io.on('connection', serve);
(io.engine ?? io.eio)?.on('connection', (session) => {
  if (session.transport.name === 'polling') {
    counts.polls += 1;
  }
});

server.listen(0, '127.0.0.1', () => { console.log(server.address().port); });
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
