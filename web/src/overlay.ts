/** The overlay for OBS and other mixers: the answer in large type on nothing. Add it as a browser source, with its address as it was copied. */

import "./style/tokens.css";
import "./style/overlay.css";

import { el, setAttr, setText, show } from "./draw/dom";
import { certainty, labelName, percent } from "./draw/format";
import { viewedAs } from "./state/address";
import { bestLabel, concluded, followed } from "./state/shown";
import { startViewer } from "./viewer";

/** What was said about an older moment says nothing about now. */
const STALE_S = 30;

const root = document.getElementById("page") ?? document.body;

startViewer(root, (words) => {
  const label = el("p", { class: "overlay-label", id: "label" });
  const detail = el("p", { class: "overlay-detail" });
  // Whoever sees the picture has read no consent page.
  const notice = el("p", { class: "overlay-notice", id: "notice" }, words.follow.notice);
  show(notice, viewedAs(window.location.hash).notice);
  const said = el("main", { class: "overlay", attrs: { role: "status", "aria-live": "polite" } }, label, detail, notice);
  root.replaceChildren(said);
  return (view) => {
    const analysis = followed(view.session);
    const endS = analysis?.span?.end ?? -Infinity;
    const fresh = analysis !== null && bestLabel(analysis) !== null && view.phase.name === "live" && view.session.mediaS - endS < STALE_S;
    show(said, fresh);
    if (!fresh) {
      setText(label, "");
      setText(detail, "");
      return;
    }
    const conclusion = concluded(analysis);
    const unsure = conclusion.label === "unsure";
    setAttr(said, "data-label", conclusion.label);
    setText(label, unsure ? words.conclusion.unsure : labelName(words, conclusion.label));
    setText(detail, unsure ? "" : `${words.conclusion.certainty[certainty(conclusion.confidence)]}, ${percent(conclusion.confidence)}`);
  };
});
