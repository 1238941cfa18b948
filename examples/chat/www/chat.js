// The page of the chat: one WebSocket, kept open. When it is closed or refused
// the page says why, in the words of whoever closed the gate, and tries again
// when it makes sense: as told by Retry-After, else with a growing, jittered
// pause, so that a thousand pages do not come back at once.

const at = new URL('/ws/', location.href);
const socketURL = new URL(at);
socketURL.protocol = at.protocol === 'https:' ? 'wss:' : 'ws:';

const el = (id) => document.getElementById(id);
const firstPause = 1000;
const longestPause = 30_000;

let socket;
let attempts = 0;
let timer;
let ticker;

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
    return { state, after: Number(after) || 0, words: `“${words.join(' ')}”` };
  } catch {
    return { state: 'unknown', after: 0, words: '' };
  }
}

function retry(what, words, after) {
  const pause = after > 0
    ? after * 1000 + Math.random() * 1000
    : Math.min(longestPause, firstPause * 2 ** attempts) * (0.5 + Math.random());
  attempts++;
  const until = Date.now() + pause;
  const tell = () => {
    const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    show('closed', what, `${words ? `${words} · ` : ""}next try in ${left} s`);
  };
  tell();
  ticker = setInterval(tell, 1000);
  timer = setTimeout(connect, pause);
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
