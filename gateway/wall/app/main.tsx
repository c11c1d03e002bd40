import { computed, effect, signal } from '@preact/signals';
import { render } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { keepSubscribed, type Link } from './connection.ts';
import { createFleet, type Totals } from './fleet.ts';
import { clockText, type Freshness, freshnessOf } from './freshness.ts';
import { createGrid, type Grid } from './grid.ts';
import { LOOKS, lookOf } from './palette.ts';
import { FLEET_QUERY } from './query.ts';
import { createTrend, Trend } from './trend.tsx';

const KEY_NAME = 'flotilla.screenKey';

const fleet = createFleet();
const trend = createTrend();
const link = signal<Link>('CONNECTING');
const totals = signal<Totals | null>(null);
const nodes = signal({ speaking: 0, silent: 0 });
const simulated = signal(false);
const now = signal(Date.now());
/** local ms at which the shown data was true; null before the first snapshot */
const asOf = signal<number | null>(null);
const key = signal(takeKey());
let grid: Grid | undefined;
let wantSnapshot = false;

const age = computed(() => (asOf.value === null ? null : Math.max(0, now.value - asOf.value)));
const freshness = computed<Freshness>(() => freshnessOf(age.value));

/** A key in the address' fragment is kept and taken out of the address, so that it is not shown or shared. */
function takeKey(): string {
  const given = new URLSearchParams(location.hash.slice(1)).get('key');
  if (given !== null && given !== '') {
    localStorage.setItem(KEY_NAME, given);
    history.replaceState(null, '', location.pathname + location.search);
  }
  return localStorage.getItem(KEY_NAME) ?? '';
}

function connect(): { close(): void } {
  return keepSubscribed({
    url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/graphql`,
    key: () => key.value,
    query: FLEET_QUERY,
    position: () => (wantSnapshot ? null : fleet.position),
    onLink: (value) => {
      link.value = value;
    },
    onUpdate(update) {
      const received = Date.now();
      if (!fleet.apply(update, performance.now())) {
        wantSnapshot = true;
        return false;
      }
      wantSnapshot = false;
      // the data is never shown younger than its way here, nor in the future when the clocks differ
      asOf.value = Math.min(received, Math.max(asOf.value ?? 0, Date.parse(update.asOf)));
      totals.value = fleet.totals;
      nodes.value = fleet.nodes();
      simulated.value = fleet.simulated;
      trend.add(received, update.totals.sentPerMinute);
      grid?.invalidate();
      return true;
    },
  });
}

function Chip() {
  const text =
    age.value === null
      ? 'NO DATA YET'
      : `${freshness.value} ${age.value < 10_000 ? `${(age.value / 1000).toFixed(1)} s` : clockText(age.value)}`;
  return <span class={`chip ${freshness.value.toLowerCase()}`}>{text}</span>;
}

function Header() {
  const date = new Date(now.value);
  return (
    <header>
      <h1>Flotilla</h1>
      {simulated.value && <span class="chip simulated">SIMULATED PHONES</span>}
      <span class="spacer" />
      <Chip />
      <span class={`chip link-${link.value.toLowerCase()}`}>{link.value}</span>
      <time>{date.toLocaleTimeString('en-GB')}</time>
    </header>
  );
}

function Card(props: { readonly title: string; readonly value: string; readonly note?: string; readonly tone?: string }) {
  return (
    <section class={`card ${props.tone ?? ''}`}>
      <h2>{props.title}</h2>
      <p class="figure">{props.value}</p>
      {props.note !== undefined && <p class="note">{props.note}</p>}
    </section>
  );
}

const whole = (value: number): string => Math.round(value).toLocaleString('en-US');

/** states that somebody should look into; paused and unpaired are chosen */
const TROUBLE: ReadonlySet<string> = new Set(['OFFLINE', 'LOGGED_OUT', 'QUARANTINED', 'CIRCUIT_OPEN', 'UNKNOWN']);

function Cards() {
  const sum = totals.value;
  const lost = freshness.value === 'LOST' || sum === null;
  const failedShare =
    sum === null || sum.sentPerMinute + sum.failedPerMinute === 0
      ? 0
      : (100 * sum.failedPerMinute) / (sum.sentPerMinute + sum.failedPerMinute);
  const trouble = (sum?.states ?? []).reduce((count, entry) => count + (TROUBLE.has(entry.state) ? entry.count : 0), 0);
  const mostAway = sum !== null && sum.devices > 0 && sum.connected * 2 < sum.devices;
  const { speaking, silent } = nodes.value;
  return (
    <div class="cards">
      <Card
        title="Connected"
        value={sum === null ? '—' : `${whole(sum.connected)}`}
        note={sum === null ? '' : `of ${whole(sum.devices)} devices`}
        tone={mostAway ? 'alarm' : trouble > 0 ? 'caution' : ''}
      />
      <Card title="Sent / min" value={lost ? '—' : whole(sum.sentPerMinute)} note="last minute" />
      <Card
        title="Failed"
        value={lost ? '—' : `${failedShare.toFixed(1)} %`}
        note={lost ? '' : `${whole(sum.failedPerMinute)} / min`}
        tone={failedShare > 5 ? 'alarm' : ''}
      />
      <Card title="Backlog" value={lost ? '—' : whole(sum.backlog)} note="accepted, not ended" />
      <Card
        title="Nodes"
        value={sum === null ? '—' : String(speaking)}
        note={silent > 0 ? `${silent} silent` : 'owning devices'}
        tone={sum !== null && (speaking === 0 || silent > 0) ? 'alarm' : ''}
      />
    </div>
  );
}

function Legend() {
  const counts = new Map((totals.value?.states ?? []).map(({ state, count }) => [state, count]));
  const rows = Object.keys(LOOKS)
    .filter((state) => (counts.get(state) ?? 0) > 0 || state === 'ONLINE' || state === 'OFFLINE' || state === 'UNKNOWN')
    .sort((a, b) => lookOf(b).weight - lookOf(a).weight);
  return (
    <section class="panel legend">
      <h2>States</h2>
      <ul>
        {rows.map((state) => {
          const look = lookOf(state);
          const count = counts.get(state) ?? 0;
          return (
            <li key={state} class={count === 0 ? 'none' : ''}>
              <span
                class="swatch"
                style={look.fill === undefined ? { border: `2px solid ${look.ink}` } : { background: look.fill, color: look.ink }}
              >
                {GLYPHS[look.glyph]}
              </span>
              <span>{look.label}</span>
              <b>{totals.value === null ? '—' : whole(count)}</b>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
const GLYPHS: Readonly<Record<string, string>> = {
  cross: '×',
  lock: '▣',
  minus: '–',
  slash: '/',
  equals: '=',
  question: '?',
  arrow: '→',
  chevron: '›',
  corner: '⌜',
  pause: 'ǁ',
};

function GridPanel() {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    if (canvas.current === null) return;
    const mine = createGrid(canvas.current, fleet);
    grid = mine;
    const stop = effect(() => mine.setStale(freshness.value === 'STALE' || freshness.value === 'LOST'));
    return () => {
      stop();
      mine.close();
    };
  }, []);
  const sum = totals.value;
  const label = sum === null ? 'no data yet' : `${sum.connected} of ${sum.devices} devices connected on ${nodes.value.speaking} nodes`;
  return <canvas ref={canvas} id="grid" role="img" aria-label={label} />;
}

function Banner() {
  if (link.value === 'REFUSED') return <KeyForm />;
  if (freshness.value !== 'STALE' && freshness.value !== 'LOST') return null;
  const since = new Date(asOf.value ?? 0).toLocaleTimeString('en-GB');
  return (
    <div class="banner" role="status">
      {freshness.value} since {since} ({clockText(age.value ?? 0)}): what is shown is old
    </div>
  );
}

function KeyForm() {
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement).get('key');
    if (typeof given !== 'string' || given.trim() === '') return;
    localStorage.setItem(KEY_NAME, given.trim());
    location.reload();
  };
  return (
    <form class="banner key" onSubmit={submit}>
      <label for="key">This screen needs a key with the scope “screen”:</label>
      <input id="key" name="key" type="password" autocomplete="off" />
      <button type="submit">Show the fleet</button>
    </form>
  );
}

function Wall() {
  return (
    <main class={freshness.value.toLowerCase()}>
      <Header />
      <Cards />
      <div class="body">
        <GridPanel />
        <aside>
          <Legend />
          <section class="panel">
            <h2>Sent per minute</h2>
            <Trend trend={trend} now={now.value} />
          </section>
        </aside>
      </div>
      <Banner />
    </main>
  );
}

const root = document.getElementById('wall');
if (root === null) throw new Error('the page has no #wall');
render(<Wall />, root);
setInterval(() => {
  now.value = Date.now();
}, 250);
connect();
