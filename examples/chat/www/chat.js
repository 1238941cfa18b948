// The page of the chat: one WebSocket, kept open. When it is closed or refused
// the page says why, in the words of whoever closed the gate, and tries again
// when it makes sense: as told by Retry-After, else with a growing, jittered
// pause, so that a thousand pages do not come back at once. While it waits for
// long it asks now and then whether the gate has opened earlier.

const at = new URL('/ws/', location.href);
const socketURL = new URL(at);
socketURL.protocol = at.protocol === 'https:' ? 'wss:' : 'ws:';

const el = (id) => document.getElementById(id);
const firstPause = 1000;
const longestPause = 30_000;
const askEvery = 15_000; // to twice that
const longestWait = 366 * 24 * 3600; // seconds: what is further off is as good as never

let socket;
let attempts = 0;
let timer;
let ticker;
let waiting; // for the gate: when to try, and what is shown meanwhile

el('name').value = localStorage.getItem('name') ?? '';
el(el('name').value ? 'text' : 'name').focus();

function show(state, what, why = '') {
  el('state').dataset.state = state;
  el('what').textContent = what;
  el('why').textContent = why;
  el('send').disabled = state !== 'open';
  el('now').hidden = state !== 'closed';
}

function connect() {
  clearTimeout(timer);
  clearInterval(ticker);
  waiting = undefined;
  let opened = false;
  show('connecting', 'Connecting…');
  socket = new WebSocket(socketURL);
  socket.onopen = () => {
    opened = true;
    attempts = 0;
    el('messages').replaceChildren();
    show('open', 'Connected.');
  };
  socket.onmessage = ({ data }) => receive(JSON.parse(data));
  socket.onclose = async ({ code, reason }) => {
    el('people').textContent = '';
    if (opened) {
      const words = reason ? `“${reason}” (${code})` : `(${code})`;
      retry(code === 1006 ? 'The connection broke.' : 'Closed:', code === 1006 ? '' : words, 0);
      return;
    }
    const { state, after, words } = await why();
    if (state === 'closed') retry('The chat is closed:', words, after);
    else retry('The server cannot be reached.', '', 0);
  };
}

// why asks what a browser is not told about a refused handshake.
async function why() {
  try {
    const response = await fetch(at, { cache: 'no-store' });
    const [state, after, ...words] = (await response.text()).split('\n');
    return { state, after: seconds(after), words: `“${words.join(' ')}”` };
  } catch {
    return { state: 'unknown', after: 0, words: '' };
  }
}

// seconds reads how long to wait; what is no number of seconds is none.
function seconds(text) {
  const n = Number(text);
  return Number.isFinite(n) && n > 0 ? Math.min(n, longestWait) : 0;
}

function retry(what, words, after) {
  const pause = after > 0
    ? after * 1000 + Math.random() * 1000
    : Math.min(longestPause, firstPause * 2 ** attempts) * (0.5 + Math.random());
  attempts++;
  waiting = { what, words, until: Date.now() + pause, gate: after > 0 };
  clearInterval(ticker);
  ticker = setInterval(tell, 1000);
  tell();
  wait();
}

// tell shows how long it takes until the next try.
function tell() {
  const left = Math.max(0, Math.ceil((waiting.until - Date.now()) / 1000));
  const next = left < 3600 ? `in ${left} s` : `at ${new Date(waiting.until).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short' })}`;
  show('closed', waiting.what, `${waiting.words ? `${waiting.words} · ` : ''}next try ${next}`);
}

// wait sets the next moment at which something is to be done: a timer takes no
// more than 24.8 days, and stands still while a machine sleeps.
function wait() {
  clearTimeout(timer);
  const left = Math.max(0, waiting.until - Date.now());
  const pause = askEvery * (1 + Math.random());
  timer = left <= pause ? setTimeout(connect, left) : setTimeout(look, pause);
}

// look asks whether the gate has opened earlier, and comes back then, but not
// at the same moment as everybody else.
async function look() {
  const now = waiting;
  if (!now) return;
  if (!now.gate || Date.now() >= now.until) {
    connect();
    return;
  }
  const { state, after, words } = await why();
  if (waiting !== now) return;
  if (state === 'open') now.until = Math.min(now.until, Date.now() + Math.random() * 3000);
  if (state === 'closed' && after > 0) Object.assign(now, { words, until: Date.now() + after * 1000 + Math.random() * 1000 });
  tell();
  wait();
}

// Whoever comes back to the page, or to the network, does not want to wait.
for (const [target, event] of [[document, 'visibilitychange'], [window, 'online']]) {
  target.addEventListener(event, () => {
    if (!document.hidden) look();
  });
}

function receive(message) {
  if (message.kind === 'count') {
    el('people').textContent = message.n === 1 ? 'only you' : `${message.n} people`;
    return;
  }
  const item = document.createElement('li');
  item.classList.toggle('own', message.from === el('name').value && message.from !== '');
  const from = document.createElement('span');
  from.className = 'from';
  from.textContent = `${message.from || 'somebody'} · ${new Date(message.at).toLocaleTimeString([], { timeStyle: 'short' })}`;
  item.append(from, message.text);
  el('messages').append(item);
  item.scrollIntoView({ block: 'end' });
}

el('form').onsubmit = (event) => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN) return;
  localStorage.setItem('name', el('name').value);
  socket.send(JSON.stringify({ from: el('name').value, text: el('text').value }));
  el('text').value = '';
  el('text').focus();
};
el('now').onclick = connect;

connect();
