import type { HttpHandler } from './server/index.ts';

/**
 * `/console/pair/<device id>`: links a device to a phone, until the console has it. One page and one script, no build; it speaks
 * graphql-transport-ws like every other client, with a key typed here, kept as long as the tab. The key needs the scope OPERATOR.
 */
export const PAIRING_SCRIPT_PATH = '/console/pair.js';

const SCRIPT = `'use strict';
const id = decodeURIComponent(location.pathname.split('/').pop());
const by = (name) => document.getElementById(name);
const KEY = 'flotilla.operatorKey';
let socket;
let until = 0;
const say = (text) => { by('stage').textContent = text; };
const stages = {
  NONE: 'No pairing yet. Press a button.', CONNECTING: 'Connecting to WhatsApp', QR: 'Scan this code: WhatsApp, Settings, Linked devices, Link a device',
  CODE: 'Type this code: WhatsApp, Settings, Linked devices, Link a device, Link with phone number instead', LINKING: 'The phone has accepted, the device logs in', PAIRED: 'Paired', ENDED: 'Ended',
};
const show = (update) => {
  const reason = update.reason === null ? '' : ': ' + update.reason;
  say(stages[update.stage] + reason + (update.number === null ? '' : ' (' + update.number + ' of ' + update.most + ')'));
  by('qr').hidden = update.png === null;
  if (update.png !== null) by('qr').src = update.png;
  by('code').textContent = update.code === null ? '' : update.code.slice(0, 4) + '-' + update.code.slice(4);
  until = update.remainingMs === null ? 0 : performance.now() + update.remainingMs;
  document.body.dataset.stage = update.stage;
};
setInterval(() => {
  const left = Math.ceil((until - performance.now()) / 1000);
  by('left').textContent = until === 0 ? '' : left > 0 ? 'lives for ' + left + ' s' : 'a new one is coming';
}, 250);
const operation = (id, query, variables) => socket.send(JSON.stringify({ id, type: 'subscribe', payload: { query, variables } }));
const connect = () => {
  socket = new WebSocket((location.protocol === 'https:' ? 'wss://' : 'ws://') + location.host + '/graphql', 'graphql-transport-ws');
  socket.onopen = () => socket.send(JSON.stringify({ type: 'connection_init', payload: { authorization: 'Bearer ' + by('key').value } }));
  socket.onclose = (event) => {
    by('start').disabled = by('byCode').disabled = true;
    if (event.code === 4401 || event.code === 4403) return say('This key is not good for it: a key with the scope OPERATOR is needed.');
    say('Not connected, trying again');
    setTimeout(connect, 2000);
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === 'ping') socket.send('{"type":"pong"}');
    if (message.type === 'connection_ack') {
      sessionStorage.setItem(KEY, by('key').value);
      by('start').disabled = by('byCode').disabled = false;
      operation('watch', 'subscription ($id: ID!) { pairing(deviceId: $id) { stage png code number most remainingMs reason } }', { id });
    }
    if (message.type === 'error') say(message.payload.map((error) => error.message).join('; '));
    if (message.type !== 'next') return;
    const { data: result, errors } = message.payload;
    if (errors !== undefined) return say(errors.map((error) => error.message).join('; '));
    if (result.pairing !== undefined) show(result.pairing);
    if (result.pairDevice !== undefined && result.pairDevice.errors.length > 0) say(result.pairDevice.errors.map((error) => error.message).join('; '));
  };
};
const pair = (method, phone) => operation('pair-' + performance.now(),
  'mutation ($input: PairDeviceInput!) { pairDevice(input: $input) { errors { code message } } }', { input: { deviceId: id, method, phone } });
by('device').textContent = id;
by('key').value = sessionStorage.getItem(KEY) || '';
by('keys').onsubmit = (event) => { event.preventDefault(); if (socket === undefined || socket.readyState > 1) connect(); };
by('start').onclick = () => pair('QR', null);
by('byCode').onclick = () => pair('CODE', by('phone').value);
if (by('key').value !== '') connect();
`;

const PAGE = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Link a phone</title>
<style>
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif } body { max-width: 34rem; margin: 2rem auto; padding: 0 1rem }
#qr { image-rendering: pixelated; width: 18rem; background: #fff } #code { font: 700 2rem ui-monospace, monospace; letter-spacing: .1em }
input, button { font: inherit; padding: .4rem .6rem } form, .row { display: flex; flex-wrap: wrap; gap: .5rem; margin: .75rem 0; align-items: center }
</style></head><body>
<h1>Link a phone</h1>
<p>Device <code id="device"></code></p>
<form id="keys"><label for="key">API key</label><input id="key" type="password" autocomplete="off" required><button>Connect</button></form>
<div class="row"><button id="start" disabled>Show QR codes</button></div>
<div class="row"><label for="phone">Phone</label><input id="phone" type="tel" placeholder="+491701234567"><button id="byCode" disabled>Get a code to type</button></div>
<p id="stage" role="status" aria-live="polite">Not connected</p>
<p><img id="qr" alt="QR code to scan with the phone" hidden></p>
<p id="code" aria-live="polite"></p>
<p id="left"></p>
<script src="${PAIRING_SCRIPT_PATH}" defer></script>
</body></html>`;

const CSP =
  "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'";

/** The page holds nothing about a device: whoever may not pair it learns nothing here. */
export const pairingPage: HttpHandler = () => ({
  status: 200,
  headers: { 'content-type': 'text/html; charset=utf-8', 'content-security-policy': CSP, 'cache-control': 'no-store' },
  body: PAGE,
});
export const pairingScript: HttpHandler = () => ({
  status: 200,
  headers: { 'content-type': 'text/javascript; charset=utf-8', 'x-content-type-options': 'nosniff', 'cache-control': 'no-cache' },
  body: SCRIPT,
});
