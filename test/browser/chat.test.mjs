// What the first paragraph of the README promises, in a real browser: a chat
// through the gate, the gate shut from another terminal, the page told why,
// the gate opened again. Each step leaves a screenshot.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { chat, freePort, start, top, until } from './caddy.mjs';

const shots = process.env.WSGATE_SHOTS ?? path.join(tmpdir(), 'wsgate-shots');
await mkdir(shots, { recursive: true });

async function browser(t) {
  const b = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  t.after(() => b.close());
  return b;
}

// member opens the page in a browser of its own.
async function member(b, url, name, options = {}) {
  const context = await b.newContext({ viewport: { width: 900, height: 640 }, ...options });
  const page = await context.newPage();
  await page.goto(url);
  await page.fill('#name', name);
  await connected(page);
  return page;
}

const state = (page) => page.textContent('#state p');
const connected = (page) => page.waitForSelector('#state[data-state=open]', { timeout: 45_000 });

async function say(page, text, ...others) {
  await page.fill('#text', text);
  await page.click('#send');
  for (const other of [page, ...others]) {
    await other.locator('#messages li', { hasText: text }).waitFor({ timeout: 15_000 });
  }
}

// story is the whole of it, for one of the example's Caddyfiles.
async function story(t, caddy, name) {
  const b = await browser(t);
  const shot = (page, step) => page.screenshot({ path: path.join(shots, `${name}-${step}.png`) });
  const ana = await member(b, caddy.url, 'Ana');
  const ben = await member(b, caddy.url, 'Ben', { colorScheme: 'dark', viewport: { width: 390, height: 720 } });
  for (const page of [ana, ben]) {
    await page.waitForFunction(() => document.querySelector('#people').textContent === '2 people', { timeout: 10_000 });
  }
  await say(ana, 'Good morning!', ben);
  await say(ben, 'Morning, Ana.', ana);
  await shot(ana, '1-chatting');
  await shot(ben, '1-chatting-phone');

  await caddy.reload();
  await say(ana, 'A reload, and we are still here.', ben);
  assert.equal((await caddy.gate()).tunnels, 2);
  await shot(ana, '2-after-a-reload');

  const told = await caddy.cli('off', 'chat', '--reason', 'back at nine');
  assert.match(told, /chat/);
  for (const page of [ana, ben]) {
    await page.waitForFunction(() => document.querySelector('#state p').textContent.includes('back at nine'), { timeout: 10_000 });
    assert.match(await state(page), /“back at nine” \(1013\)/);
  }
  await shot(ana, '3-closed-with-words');
  await until('the tunnels to end', async () => (await caddy.gate()).tunnels === 0);

  await ana.click('#now');
  await ana.waitForFunction(() => document.querySelector('#what').textContent.startsWith('The chat is closed'), { timeout: 10_000 });
  assert.match(await state(ana), /back at nine/);
  await shot(ana, '4-refused-with-words');
  await shot(ben, '4-refused-with-words-phone');

  await caddy.cli('auto', 'chat');
  for (const page of [ana, ben]) await connected(page);
  await say(ben, 'Open again.', ana);
  await shot(ana, '5-open-again');
  assert.match(await caddy.cli('status'), /open/);
}

test('the chat through the gate', async (t) => {
  await story(t, await chat(t, 'Caddyfile'), 'chat');
});

test('D2: the same with two backends', async (t) => {
  await story(t, await chat(t, 'Caddyfile.two-backends'), 'D2');
});

test('D1: the same with a Node.js backend on the ws package', async (t) => {
  const ports = { one: await freePort(), two: await freePort() };
  const node = (port, peer) => start(t, process.execPath,
    [path.join(top, 'examples/chat/node/server.js'), '--port', port, '--peer', `ws://127.0.0.1:${peer}`]);
  const servers = [node(ports.one, ports.two), node(ports.two, ports.one)];
  await until('the Node servers', () => servers.every((s) => s.output().includes('chat server on')));
  await story(t, await chat(t, 'Caddyfile.node', ports), 'D1');
});

test('a gate that is closed for long is asked now and then, and wakes the page when it opens earlier', async (t) => {
  const caddy = await chat(t, 'Caddyfile');
  await caddy.cli('off', 'chat', '--reason', 'see you next month', '--ttl', '720h'); // a timer takes 24.8 days at most
  const page = await (await browser(t)).newPage();
  await page.clock.install();
  await page.goto(caddy.url);
  await page.waitForFunction(() => document.querySelector('#why').textContent.includes('see you next month'), { timeout: 10_000 });
  const refused = () => caddy.log().split('handshake refused').length - 1;
  assert.equal(refused(), 1);
  await page.clock.runFor(60_000);
  assert.equal(refused(), 1, 'handshakes while it waits for a month');
  assert.match(await state(page), /next try at/);
  await caddy.cli('auto', 'chat');
  await until('the page to come back', async () => {
    await page.clock.runFor(5_000);
    return (await page.getAttribute('#state', 'data-state')) === 'open';
  });
});
