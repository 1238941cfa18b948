// The chat server of the example, on the ws package.
//
//   node server.js --port 9001 [--peer ws://127.0.0.1:9002]
//
// Servers that are each other's peers are one room: what a page says to one
// goes to the pages of the other, too.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { WebSocket, WebSocketServer } from 'ws';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '9001' },
    peer: { type: 'string', multiple: true, default: [] },
  },
});

const historyLength = 30;
const maxBacklog = 1 << 20;
const history = [];
const pages = new Set();
const peers = new Map(); // a peer's connection to us, and how many people it has
const peerPath = '/peer';

const http = createServer((request, response) => {
  response.writeHead(426, { 'content-type': 'text/plain' });
  response.end('a WebSocket server\n');
});
const server = new WebSocketServer({ server: http, maxPayload: 4096 });

function send(socket, data) {
  if (socket.readyState !== WebSocket.OPEN) return;
  if (socket.bufferedAmount > maxBacklog) {
    socket.close(1008, 'too slow');
    return;
  }
  socket.send(data);
}

function say(message) {
  const data = JSON.stringify(message);
  history.push(data);
  if (history.length > historyLength) history.shift();
  for (const page of pages) send(page, data);
}

// count tells the pages how many people there are, here and at the peers, and
// the peers how many are here.
function count() {
  let n = pages.size;
  for (const people of peers.values()) n += people;
  const data = JSON.stringify({ kind: 'count', n });
  for (const page of pages) send(page, data);
}

function countHere() {
  count();
  for (const { socket } of links) if (socket) send(socket, JSON.stringify({ count: pages.size }));
}

// peopleOf reads how many people a peer says it has; undefined: it says
// something else.
function peopleOf(data) {
  try {
    const { count: n } = JSON.parse(data);
    return Number.isInteger(n) && n >= 0 && n <= 1e6 ? n : undefined;
  } catch {
    return undefined;
  }
}

function parse(data) {
  try {
    const { from = '', text = '' } = JSON.parse(data);
    return typeof text === 'string' && text !== '' ? { from: String(from), text } : undefined;
  } catch {
    return undefined;
  }
}

const links = values.peer.map((url) => link(new URL(peerPath, url).href));

// link keeps a connection to a peer, which hears what our pages say.
function link(url) {
  const state = { socket: undefined };
  const connect = () => {
    state.socket = new WebSocket(url);
    state.socket.on('error', () => {});
    state.socket.on('open', () => send(state.socket, JSON.stringify({ count: pages.size })));
    state.socket.on('close', () => setTimeout(connect, 500));
  };
  connect();
  return state;
}

server.on('connection', (socket, request) => {
  socket.on('error', () => {});
  if (request.url === peerPath && !('x-forwarded-for' in request.headers)) { // not through the proxy
    peers.set(socket, 0);
    socket.on('close', () => {
      peers.delete(socket);
      count();
    });
    socket.on('message', (data) => {
      const people = peopleOf(data);
      if (people !== undefined) {
        peers.set(socket, people);
        count();
        return;
      }
      const message = parse(data);
      if (message) say({ kind: 'say', ...message, at: new Date().toISOString() });
    });
    return;
  }
  pages.add(socket);
  for (const old of history) send(socket, old);
  countHere();
  socket.on('close', () => {
    pages.delete(socket);
    countHere();
  });
  socket.on('message', (data) => {
    const message = parse(data);
    if (!message) return;
    say({ kind: 'say', ...message, at: new Date().toISOString() });
    for (const { socket: peer } of links) if (peer) send(peer, JSON.stringify(message));
  });
});

http.listen(Number(values.port), '127.0.0.1', () => {
  console.log(`chat server on ws://127.0.0.1:${http.address().port}`);
});
