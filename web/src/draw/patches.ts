/** Which patches of the picture the model reads: focal ones clear, kept ones veiled, dropped ones struck out. */

import type { Patches } from "../wire/generated";
import { el } from "./dom";

/** Pixels of the drawing per patch; it is stretched over the picture. */
const CELL_PX = 24;
const VEIL = "rgb(6 9 11 / 0.34)";
const DARK = "rgb(6 9 11 / 0.74)";
const STROKE = "rgb(255 255 255 / 0.32)";
const EDGE = "rgb(255 255 255 / 0.22)";

export interface PatchesPart {
  readonly root: HTMLElement;
  readonly draw: (patches: Patches, mirrored: boolean) => void;
}

export function makePatches(): PatchesPart {
  const canvas = el("canvas");
  return {
    // The grid may reach beyond the picture, which ends here.
    root: el("div", { class: "patches", attrs: { "aria-hidden": "true" } }, canvas),
    draw: (patches, mirrored) => {
      const [x, y, width, height] = patches.region;
      canvas.style.left = `${100 * (mirrored ? 1 - x - width : x)}%`;
      canvas.style.top = `${100 * y}%`;
      canvas.style.width = `${100 * width}%`;
      canvas.style.height = `${100 * height}%`;
      canvas.width = patches.columns * CELL_PX;
      canvas.height = patches.rows * CELL_PX;
      const pen = canvas.getContext("2d");
      if (pen !== null) paint(pen, patches, mirrored);
    },
  };
}

function paint(pen: CanvasRenderingContext2D, { rows, columns, cells }: Patches, mirrored: boolean): void {
  pen.lineWidth = 1.5;
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const cell = cells[row * columns + column];
      const left = (mirrored ? columns - 1 - column : column) * CELL_PX;
      const top = row * CELL_PX;
      if (cell === "f") continue;
      pen.fillStyle = cell === "k" ? VEIL : DARK;
      pen.fillRect(left + 0.5, top + 0.5, CELL_PX - 1, CELL_PX - 1);
      pen.strokeStyle = cell === "k" ? EDGE : STROKE;
      if (cell === "k") {
        pen.strokeRect(left + 1.5, top + 1.5, CELL_PX - 3, CELL_PX - 3);
      } else {
        // A stroke through it: told apart from a kept one without colour.
        pen.beginPath();
        pen.moveTo(left + 5, top + CELL_PX - 5);
        pen.lineTo(left + CELL_PX - 5, top + 5);
        pen.stroke();
      }
    }
  }
}
