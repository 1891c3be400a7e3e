/** The box that makes an address by which programs follow this session: copied with one click, and taken back with another. */

import { viewerAddress } from "../state/address";
import type { View } from "../state/view";
import { el, setAttr, setText, show } from "./dom";
import type { MakePart } from "./hands";

const KINDS = ["program", "watch", "overlay"] as const;

export const makeFollow: MakePart = (hands, words) => {
  const say = words.follow;
  const make = el("button", { id: "share", attrs: { type: "button" }, onClick: hands.share }, say.make);
  const status = el("p", { class: "note", id: "follow-status", attrs: { role: "status" } });
  const fields = KINDS.map((kind) => {
    const name = say.addresses[kind];
    const field = el("input", { id: `follow-${kind}`, attrs: { type: "text", readonly: true, spellcheck: "false" } });
    const copy = el("button", { class: "quiet", attrs: { type: "button", "aria-label": say.copy(name) }, onClick: () => void copied(field) }, say.copyShort);
    return { kind, field, row: el("div", { class: "address" }, el("label", { attrs: { for: field.id } }, name), field, copy) };
  });
  const revoke = el("button", { class: "quiet", id: "unshare", attrs: { type: "button" }, onClick: hands.unshare }, say.revoke);
  const addresses = el("div", { class: "addresses" }, ...fields.map(({ row }) => row), revoke);
  const root = el("details", { class: "ask follow", id: "follow" }, el("summary", {}, say.heading), el("p", { class: "note" }, say.lead), make, addresses, status);

  async function copied(field: HTMLInputElement): Promise<void> {
    field.select();
    // Not every page may write to the clipboard; then the selected text is ready to be copied by hand.
    await navigator.clipboard.writeText(field.value).then(
      () => setText(status, say.copied),
      () => undefined,
    );
  }

  let drawn = "";
  return {
    root,
    draw: (view: View) => {
      const { sharing } = view;
      show(root, view.phase.name === "live");
      setAttr(root, "data-state", sharing.state);
      show(make, sharing.state !== "on");
      make.disabled = sharing.state === "making";
      show(addresses, sharing.state === "on");
      for (const { kind, field } of fields) {
        const address = sharing.state !== "on" ? "" : kind === "program" ? sharing.address : viewerAddress(kind, sharing.address, document.baseURI);
        if (field.value !== address) field.value = address;
      }
      if (sharing.state === drawn) return;
      drawn = sharing.state;
      setText(status, { off: "", on: "", making: say.making, revoked: say.revoked, failed: say.failed }[sharing.state]);
    },
  };
};
