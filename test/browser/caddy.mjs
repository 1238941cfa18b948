// Starts programs for the tests and ends them again: only those, by their id.
import { spawn, execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

export const top = path.resolve(import.meta.dirname, '../..');
export const binary = process.env.WSGATE_CADDY;
if (!binary) throw new Error('WSGATE_CADDY must name the Caddy to test: go build -o caddy ./cmd/demo');

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

// start runs a program until stop is called.
export function start(t, command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let output = '';
  child.stdout.on('data', (data) => { output += data; });
  child.stderr.on('data', (data) => { output += data; });
  const exit = once(child, 'exit');
  const stop = async () => {
    if (child.exitCode === null) child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), 12_000);
    await exit;
    clearTimeout(late);
  };
  t.after(stop);
  return { child, stop, output: () => output };
}

// until polls until a condition holds.
export async function until(what, condition, limit = 20_000) {
  const end = Date.now() + limit;
  while (Date.now() < end) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error(`waited in vain: ${what}`);
}

// chat starts Caddy with one of the example's Caddyfiles.
export async function chat(t, file, ports = {}) {
  const home = await mkdtemp(path.join(tmpdir(), 'wsgate-chat-'));
  t.after(() => rm(home, { recursive: true, force: true, maxRetries: 3 }));
  const admin = `127.0.0.1:${await freePort()}`;
  const port = await freePort();
  const env = {
    ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home,
    CHAT_ADMIN: admin, CHAT_PORT: port,
    CHAT_BACKEND_PORT: ports.one ?? await freePort(), CHAT_BACKEND2_PORT: ports.two ?? await freePort(),
  };
  const config = path.join('examples/chat', file);
  const server = start(t, binary, ['run', '--config', config, '--adapter', 'caddyfile'], { cwd: top, env });
  await until('caddy to serve', async () => {
    try { return (await fetch(`http://localhost:${port}/`)).ok; } catch { return false; }
  });
  const run = promisify(execFile);
  const cli = async (...args) => (await run(binary, ['wsgate', ...args, '--address', admin], { cwd: top, env })).stdout;
  return {
    url: `http://localhost:${port}/`,
    log: server.output,
    gate: async () => JSON.parse(await cli('status', 'chat', '--json')),
    cli,
    reload: () => run(binary, ['reload', '--config', config, '--adapter', 'caddyfile', '--address', admin, '--force'], { cwd: top, env }),
  };
}
