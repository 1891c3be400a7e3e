/** Helpers that make and change DOM nodes. Styles are set by script (CSSOM), since the content policy refuses style attributes. */

export type Child = Node | string;

interface Given {
  readonly class?: string;
  readonly id?: string;
  /** Attributes; `true` sets an empty one, `false` leaves it out. */
  readonly attrs?: Readonly<Record<string, string | boolean>>;
  readonly onClick?: () => void;
}

export function el<K extends keyof HTMLElementTagNameMap>(tag: K, given: Given = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (given.class !== undefined) node.className = given.class;
  if (given.id !== undefined) node.id = given.id;
  for (const [name, value] of Object.entries(given.attrs ?? {})) {
    if (value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  if (given.onClick !== undefined) node.addEventListener("click", given.onClick);
  node.append(...children);
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attrs: Readonly<Record<string, string>> = {},
  ...children: Node[]
): SVGElementTagNameMap[K] {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attrs)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Sets the text only if it differs: the same text again would cost a layout, and a screen reader might repeat it. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttr(node: Element, name: string, value: string | null): void {
  if (value === null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

export function setClass(node: Element, name: string, on: boolean): void {
  node.classList.toggle(name, on);
}

export function show(node: HTMLElement, on: boolean): void {
  if (node.hidden === on) node.hidden = !on;
}

export function setShare(node: HTMLElement, name: string, value: number): void {
  const text = value.toFixed(4);
  if (node.style.getPropertyValue(name) !== text) node.style.setProperty(name, text);
}
