import { useEffect, useRef } from 'preact/hooks';

const SPAN_MS = 15 * 60_000;
const STEP_MS = 5_000;

/** The last 15 minutes of one figure, a value per 5 s; what was not seen is a gap, never a guess. */
export interface TrendData {
  add(at: number, value: number): void;
  points(now: number): readonly (number | null)[];
}

export function createTrend(): TrendData {
  const values = new Map<number, number>();
  return {
    add(at, value) {
      values.set(Math.floor(at / STEP_MS), value);
      const oldest = Math.floor((at - SPAN_MS) / STEP_MS);
      for (const step of values.keys()) {
        if (step >= oldest) break;
        values.delete(step);
      }
    },
    points(now) {
      const last = Math.floor(now / STEP_MS);
      return Array.from({ length: SPAN_MS / STEP_MS }, (_, index) => values.get(last - SPAN_MS / STEP_MS + 1 + index) ?? null);
    },
  };
}

export function Trend(props: { readonly trend: TrendData; readonly now: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const points = props.trend.points(props.now);
  const top = Math.max(10, ...points.map((value) => value ?? 0)) * 1.15;
  useEffect(() => {
    const element = canvas.current;
    const context = element?.getContext('2d');
    if (element === null || context === null || context === undefined) return;
    const scale = globalThis.devicePixelRatio;
    const { clientWidth: width, clientHeight: height } = element;
    element.width = width * scale;
    element.height = height * scale;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.strokeStyle = '#39404A';
    context.strokeRect(0.5, 0.5, width - 1, height - 1);
    context.strokeStyle = '#A4B3BD';
    context.lineWidth = 3;
    context.lineJoin = 'round';
    context.beginPath();
    let open = false;
    points.forEach((value, index) => {
      if (value === null) {
        open = false;
        return;
      }
      const x = (index / (points.length - 1)) * width;
      const y = height - (value / top) * height;
      if (open) context.lineTo(x, y);
      else context.moveTo(x - 1.5, y);
      context.lineTo(x, y);
      open = true;
    });
    context.stroke();
  });
  return (
    <div class="trend">
      <canvas ref={canvas} role="img" aria-label={`sent per minute, last 15 minutes, scale to ${Math.round(top)}`} />
      <div class="scale">
        <span>−15 min</span>
        <span>top {Math.round(top).toLocaleString('en-US')}</span>
        <span>now</span>
      </div>
    </div>
  );
}
