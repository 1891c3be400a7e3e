/** The answer panel: the label in words, how sure it is, and the probability of every label. */

import type { AffectValue } from "../wire/generated";
import type { Messages } from "../messages";
import { sameList } from "../state/timeline";
import { aloneOf, bestLabel, concluded, sharesOf, shownAnalysis } from "../state/shown";
import type { Analysis, Labelled, View } from "../state/view";
import { el, setAttr, setClass, setShare, setText } from "./dom";
import { certainty, clock, decimal, labelName, percent } from "./format";
import type { MakePart } from "./hands";

export const makeConclusion: MakePart = (_hands, words) => {
  const say = words.conclusion;
  const source = el("p", { class: "source", id: "label-source" });
  const sureness = el("p", { class: "sureness" });
  const label = el("p", { class: "label", id: "label" });
  const detail = el("p", { class: "detail", id: "conclusion" });
  const bars = makeBars(words);
  const affect = el("p", { class: "note affect", id: "affect" });
  const root = el(
    "section",
    { class: "conclusion", attrs: { "aria-labelledby": "conclusion-heading" } },
    el("h2", { id: "conclusion-heading", class: "unseen" }, say.heading),
    el("div", { class: "said" }, source, sureness, label, detail, affect),
    bars.root,
    // Whoever watches a session that somebody else sends has not read the consent page.
    el("p", { class: "note not" }, say.not),
  );

  return {
    root,
    draw: (view: View) => {
      const analysis = shownAnalysis(view);
      const labelled = analysis === null ? null : bestLabel(analysis);
      setClass(root, "waiting", labelled === null);
      bars.draw(sharesOf(view.session, analysis), labelled, analysis?.fast ?? null);
      if (analysis === null || labelled === null) {
        setAttr(root, "data-source", "none");
        setText(source, "");
        setText(sureness, "");
        setText(label, say.waiting);
        setText(detail, say.waitingNote);
        setText(affect, "");
        return;
      }
      setText(affect, affectWords(words, labelled));
      setAttr(root, "data-source", analysis.chain === null ? "fast" : "chain");
      setText(source, sourceLine(words, analysis, view));
      const conclusion = concluded(analysis);
      const unsure = conclusion.label === "unsure";
      setClass(root, "unsure", unsure);
      setText(sureness, unsure ? "" : say.certainty[certainty(conclusion.confidence)]);
      setText(label, unsure ? say.unsure : labelName(words, conclusion.label));
      setText(detail, detailWords(words, analysis, labelled));
    },
  };
};

/** How strong and how sure; or what an unsure answer is between, and what its reasons contradict. */
export function detailWords(words: Messages, analysis: Analysis, labelled: Labelled): string {
  const say = words.conclusion;
  const conclusion = concluded(analysis);
  if (conclusion.label !== "unsure") {
    return [say.intensity[conclusion.intensity] ?? "", say.confidence(percent(conclusion.confidence))].filter(Boolean).join(", ");
  }
  const left = labelled.probabilities["unsure"] ?? 0;
  const [first, second] = topTwo(labelled);
  if (left > first.share) return [say.noneFits(percent(left)), ...analysis.contradictions.map((what) => say.contradicts[what])].join(". ");
  const between = `${say.unsureBetween(labelName(words, first.label), labelName(words, second.label))}, ${say.unsureShares(percent(first.share), percent(second.share))}`;
  return [between, ...analysis.contradictions.map((what) => say.contradicts[what])].join(". ");
}

export function sourceLine(words: Messages, analysis: Analysis, view: View): string {
  const say = words.conclusion;
  const stage = analysis.chain === null ? say.first : say.reasoned;
  // Where only one is shared, everything is from that.
  const alone = view.choice === "both" ? aloneOf(analysis) : null;
  const about = analysis.span === null ? "" : say.about(clock(analysis.span.start), clock(analysis.span.end));
  return [stage, about, alone === null ? "" : say.alone[alone], turnedWords(words, analysis)].filter(Boolean).join(", ");
}

/** What turned the answer from the first impression, and what that was. */
function turnedWords(words: Messages, { fast, turnedBy }: Analysis): string {
  if (fast === null || turnedBy.length === 0) return "";
  const say = words.conclusion;
  const was = Object.entries(fast.probabilities).reduce((best, each) => (each[1] > best[1] ? each : best));
  return say.turned(labelName(words, was[0]), turnedBy.map((by) => say.turnedBy[by]));
}

/** Valence and arousal in words, with what each comes from. */
export function affectWords(words: Messages, { valence, arousal }: Pick<Labelled, "valence" | "arousal">): string {
  const say = words.affect;
  const one = (name: "valence" | "arousal", affect: AffectValue | null): string => {
    if (affect === null) return "";
    const word = affect.side === null ? "" : say[name][affect.side];
    return say.told(word, signed(affect.value), say.basis[affect.basis]).trim();
  };
  return [one("valence", valence), one("arousal", arousal)].filter(Boolean).join("; ");
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${decimal(Math.abs(value), 1)}`;
}

interface Share {
  readonly label: string;
  readonly share: number;
}

function topTwo(labelled: Labelled): [Share, Share] {
  const sorted = Object.entries(labelled.probabilities).filter(([label]) => label !== "unsure").toSorted((a, b) => b[1] - a[1]);
  const place = (index: number): Share => ({ label: sorted[index]?.[0] ?? "", share: sorted[index]?.[1] ?? 0 });
  return [place(0), place(1)];
}

/** One row per label, always in the same order, so that nothing jumps. */
function makeBars(words: Messages) {
  const list = el("ul", { class: "bars", attrs: { "aria-label": words.conclusion.bars } });
  const legend = el("p", { class: "legend", attrs: { "aria-hidden": "true" } }, words.conclusion.tick);
  const root = el("div", { class: "distribution" }, list, legend);
  const rows = new Map<string, { row: HTMLElement; value: HTMLElement }>();
  let drawn: readonly string[] = [];
  return {
    root,
    draw: (labels: readonly string[], labelled: Labelled | null, fast: Labelled | null) => {
      if (!sameList(labels, drawn)) {
        drawn = labels;
        rows.clear();
        list.replaceChildren();
        for (const label of labels) {
          const value = el("span", { class: "value" });
          const bar = el("span", { class: "bar", attrs: { "aria-hidden": "true" } }, el("i"), el("b"));
          const row = el("li", {}, el("span", { class: "name" }, labelName(words, label)), bar, value);
          rows.set(label, { row, value });
          list.append(row);
        }
      }
      for (const [label, { row, value }] of rows) {
        const share = labelled?.probabilities[label] ?? 0;
        setShare(row, "--share", share);
        setShare(row, "--first", fast?.probabilities[label] ?? 0);
        setClass(row, "top", labelled?.label === label);
        setText(value, labelled === null ? "" : percent(share));
      }
      setClass(root, "ticked", fast !== null && labelled !== fast);
    },
  };
}
