/**
 * The chart of the timeline, drawn by uPlot. Each row is a series at its own height, so that nobody has to tell colours apart.
 *
 * uPlot has one y axis: of `n` rows, row `i` from the top covers the values from `n − 1 − i` to `n − i`.
 */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Curve } from "../state/lanes";

/** Height that a value of 1 takes of its row. */
const RISE = 0.84;
const ROW_PX = 22;
const AXIS_PX = 28;
const NAMES_PX = 118;
const NARROW_NAMES_PX = 92;
const FONT = "12px system-ui, sans-serif";

export interface Row {
  readonly name: string;
  /** Which sense it rests on, for its ink. */
  readonly ink: "ink-3" | "face" | "voice";
}

export interface PlotHands {
  readonly onRange: (fromS: number, toS: number) => void;
  readonly onPick: (atS: number) => void;
  readonly onPoint: (atS: number | null) => void;
  /** Draws over and under the rows; `y(row, value)` and `x(seconds)` are canvas pixels. */
  readonly paint: (pen: CanvasRenderingContext2D, place: Place, colour: (name: string) => string) => void;
}

export interface Place {
  readonly x: (atS: number) => number;
  readonly y: (row: number, value: number) => number;
  readonly left: number;
  readonly width: number;
  readonly top: number;
  readonly height: number;
}

export interface Plot {
  readonly draw: (curves: readonly (Curve | null)[], fromS: number, toS: number) => void;
  readonly repaint: () => void;
  readonly resize: (width: number) => void;
  readonly destroy: () => void;
}

/** Where the last `nRows` rows stand in the chart, in CSS pixels. */
export function lastRows(nRows: number, width: number): { readonly left: number; readonly bottom: number; readonly height: number } {
  return { left: namesPx(width), bottom: AXIS_PX, height: nRows * ROW_PX };
}

function namesPx(width: number): number {
  return width < 560 ? NARROW_NAMES_PX : NAMES_PX;
}

export function plotHeight(nRows: number): number {
  return nRows * ROW_PX + AXIS_PX;
}

export function makePlot(into: HTMLElement, rows: readonly Row[], width: number, clock: (seconds: number) => string, hands: PlotHands): Plot {
  const colour = (name: string): string => getComputedStyle(into).getPropertyValue(`--${name}`).trim();
  const n = rows.length;
  const base = (row: number): number => n - 1 - row;
  const place = (u: uPlot): Place => ({
    x: (atS) => u.valToPos(atS, "x", true),
    y: (row, value) => u.valToPos(base(row) + RISE * value, "y", true),
    left: u.bbox.left,
    width: u.bbox.width,
    top: u.bbox.top,
    height: u.bbox.height,
  });
  let dragged = false;
  const options: uPlot.Options = {
    width,
    height: plotHeight(n),
    legend: { show: false },
    padding: [4, 20, 0, 0],
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: 6 } },
    scales: { x: { time: false, auto: false }, y: { auto: false, range: [0, n] } },
    axes: [
      {
        size: AXIS_PX,
        font: FONT,
        stroke: () => colour("ink-2"),
        grid: { stroke: () => colour("line"), width: 1 },
        ticks: { show: false },
        values: (_u, splits) => splits.map(clock),
      },
      {
        size: namesPx(width),
        font: FONT,
        gap: 8,
        stroke: () => colour("ink-2"),
        ticks: { show: false },
        grid: { show: false },
        splits: () => rows.map((_, row) => base(row) + 0.36),
        values: () => rows.map((row) => row.name),
      },
    ],
    series: [
      {},
      ...rows.map((row, index): uPlot.Series => ({
        label: row.name,
        stroke: () => colour(row.ink),
        fill: () => `color-mix(in srgb, ${colour(row.ink)} 22%, transparent)`,
        fillTo: base(index),
        width: 1.4,
        points: { show: false },
      })),
    ],
    hooks: {
      drawClear: [(u) => hands.paint(u.ctx, place(u), colour)],
      setSelect: [
        (u) => {
          if (u.select.width < 6) return;
          dragged = true;
          hands.onRange(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      setCursor: [(u) => hands.onPoint(u.cursor.left == null || u.cursor.left < 0 ? null : u.posToVal(u.cursor.left, "x"))],
    },
  };
  const nothing: uPlot.AlignedData = [[], ...rows.map(() => [])];
  const u = new uPlot(options, nothing, into);
  u.over.addEventListener("click", (event) => {
    // The end of a drag is a click, too.
    if (!dragged) hands.onPick(u.posToVal(event.offsetX, "x"));
    dragged = false;
  });
  return {
    draw: (curves, fromS, toS) => {
      u.batch(() => {
        u.setData(aligned(curves, base), false);
        u.setScale("x", { min: fromS, max: toS });
      });
    },
    repaint: () => u.redraw(false, false),
    resize: (wide) => u.setSize({ width: wide, height: plotHeight(n) }),
    destroy: () => u.destroy(),
  };
}

/** Puts all curves on one list of times. Where a curve has no value (undefined) its line goes on; null is a gap. */
function aligned(curves: readonly (Curve | null)[], base: (row: number) => number): uPlot.AlignedData {
  const times = new Set<number>();
  for (const curve of curves) for (const at of curve?.atS ?? []) times.add(at);
  const atS = [...times].toSorted((a, b) => a - b);
  const places = new Map(atS.map((at, index) => [at, index]));
  const rows = curves.map((curve, row) => {
    const values = Array.from<number | null | undefined>({ length: atS.length });
    curve?.atS.forEach((at, index) => {
      const value = curve.values[index];
      const to = places.get(at);
      if (to !== undefined) values[to] = value == null ? null : base(row) + RISE * value;
    });
    // A gap lasts until there is a value again, whatever other rows have in between.
    for (let at = 1; at < values.length; at += 1) if (values[at] === undefined && values[at - 1] === null) values[at] = null;
    return values;
  });
  return [atS, ...rows];
}
