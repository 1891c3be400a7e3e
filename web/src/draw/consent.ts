/** The screen before the camera opens: what happens, what is promised, what is asked. */

import { rememberedConsent } from "../state/remember";
import type { Choice, Failure, Kept, View } from "../state/view";
import { el, setText, show } from "./dom";
import type { MakePart } from "./hands";

const CHOICES: readonly Choice[] = ["both", "camera", "microphone"];
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;

export const makeConsent: MakePart = (hands, words) => {
  const say = words.consent;
  const host = window.location.hostname;
  const kept = el("dd", {}, say.kept.text);
  const what = el("dd", {}, say.what.text);
  const facts = [say.what, LOOPBACK.test(host) ? say.whereHere : say.whereThere(host), say.kept, say.not];

  const radios = CHOICES.map((choice) => {
    const input = el("input", { attrs: { type: "radio", name: "source", value: choice } });
    input.addEventListener("change", () => hands.send({ do: "choose", choice }));
    return { choice, input };
  });
  const note = el("p", { class: "note" });
  const writing = makeWriting(hands, words);
  const keeping = makeKeeping(hands, words);
  const attest = el("input", { id: "attest", attrs: { type: "checkbox", "aria-describedby": "attest-missing", required: true } });
  const missing = el("p", { id: "attest-missing", class: "missing", attrs: { role: "alert" } });
  const remember = el("input", { id: "remember", attrs: { type: "checkbox" } });
  attest.checked = remember.checked = rememberedConsent();
  const agree = el("button", { class: "primary", id: "agree", attrs: { type: "submit" } });
  const failure = makeFailure(hands, words);

  const form = el(
    "form",
    { attrs: { novalidate: true } },
    el(
      "fieldset",
      {},
      el("legend", {}, say.sourceLegend),
      el(
        "div",
        { class: "choices" },
        ...radios.map(({ choice, input }) => el("label", { class: "choice" }, input, el("span", {}, say.sources[choice]))),
      ),
      note,
    ),
    writing.root,
    keeping.root,
    el("label", { class: "check" }, attest, el("span", {}, say.attest)),
    missing,
    el("label", { class: "check" }, remember, el("span", {}, say.remember)),
    failure.root,
    el("div", { class: "go" }, agree, el("p", { class: "note" }, say.after)),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!attest.checked) {
      setText(missing, say.attestMissing);
      attest.setAttribute("aria-invalid", "true");
      attest.focus();
      return;
    }
    hands.prepare(remember.checked);
  });
  attest.addEventListener("change", () => {
    setText(missing, "");
    attest.removeAttribute("aria-invalid");
  });

  const file = el("input", { id: "saved-file", class: "unseen", attrs: { type: "file", accept: ".json,.jsonl,application/json", tabindex: "-1", "aria-label": say.open.button } });
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    if (chosen !== undefined) hands.openSaved(chosen);
    // The same file may be chosen once more.
    file.value = "";
  });
  const openSaved = el("button", { class: "quiet", id: "open-saved", attrs: { type: "button" }, onClick: () => file.click() }, say.open.button);
  const saved = el("section", { class: "saved", attrs: { "aria-label": say.open.title } }, el("p", { class: "note" }, el("b", {}, say.open.title), " ", say.open.text), openSaved, file);

  const deleted = el("p", { class: "deleted", id: "deleted", attrs: { role: "status" } });
  const root = el(
    "main",
    { class: "consent", id: "consent" },
    deleted,
    el("h1", {}, say.heading),
    el("p", { class: "lead" }, say.lead),
    el("dl", { class: "facts" }, ...facts.map((fact) => el("div", {}, el("dt", {}, fact.title), fact === say.kept ? kept : fact === say.what ? what : el("dd", {}, fact.text)))),
    el("aside", { class: "notice", attrs: { "aria-label": say.notice.title } }, el("h2", {}, say.notice.title), el("p", {}, say.notice.text)),
    form,
    saved,
  );

  return {
    root,
    draw: (view: View, nowS: number) => {
      for (const { choice, input } of radios) input.checked = view.choice === choice;
      setText(note, say.sourceNotes[view.choice]);
      setText(kept, view.keeping === null ? say.kept.text : say.kept.ifAgreed);
      setText(what, view.writesWords ? say.what.ifAgreed : say.what.text);
      writing.draw(view, nowS);
      keeping.draw(view, nowS);
      setText(agree, say.agree[view.choice]);
      setText(deleted, view.phase.name === "consent" && view.phase.deleted ? say.deleted : "");
      failure.draw(view.phase.name === "consent" ? view.phase.failure : null, nowS);
    },
  };
};

/** Whether what is said may be written down. Asked only where it could be, anew each time, and "no" unless changed. */
const makeWriting: MakePart = (hands, words) => {
  const say = words.consent.writing;
  const radios = ([false, true] as const).map((agreed) => {
    const input = el("input", { attrs: { type: "radio", name: "words", value: agreed ? "yes" : "no" } });
    input.addEventListener("change", () => hands.send({ do: "agree to words", agreed }));
    return { agreed, input, root: el("label", { class: "choice" }, input, el("span", {}, agreed ? say.yes : say.no)) };
  });
  const note = el("p", { class: "note", id: "words-note" });
  const root = el(
    "fieldset",
    { id: "words", attrs: { "aria-describedby": "words-note" } },
    el("legend", {}, say.legend),
    el("div", { class: "choices" }, ...radios.map((radio) => radio.root)),
    note,
  );
  return {
    root,
    draw: ({ writesWords, wordsAgreed, choice, keeping }) => {
      show(root, writesWords && choice !== "camera");
      for (const { agreed, input } of radios) input.checked = agreed === wordsAgreed;
      setText(note, wordsAgreed ? [say.note, keeping === null ? "" : say.keptToo].filter(Boolean).join(" ") : say.nothing);
    },
  };
};

/** Whether the server may keep the session. Asked only where it could, answered anew each time, and "no" unless changed. */
const makeKeeping: MakePart = (hands, words) => {
  const say = words.consent.keeping;
  const radios = ([null, "events", "media"] as const).map((kept: Kept | null) => {
    const input = el("input", { attrs: { type: "radio", name: "keep", value: kept ?? "nothing" } });
    input.addEventListener("change", () => hands.send({ do: "agree", kept }));
    return { kept, input, root: el("label", { class: "choice" }, input, el("span", {}, say.choices[kept ?? "nothing"])) };
  });
  const note = el("p", { class: "note", id: "keep-note" });
  const root = el(
    "fieldset",
    { id: "keep", attrs: { "aria-describedby": "keep-note" } },
    el("legend", {}, say.legend),
    el("div", { class: "choices" }, ...radios.map((radio) => radio.root)),
    note,
  );
  return {
    root,
    draw: ({ keeping, agreed }) => {
      show(root, keeping !== null);
      if (keeping === null) return;
      for (const { kept, input, root: label } of radios) {
        show(label, kept !== "media" || keeping.most === "media");
        input.checked = kept === agreed;
      }
      setText(note, agreed === null ? say.nothing : say.note(say.what[agreed], keeping.days));
    },
  };
};

/** Why it did not start, and the way on where there is another one. */
const makeFailure = (hands: Parameters<MakePart>[0], words: Parameters<MakePart>[1]) => {
  const title = el("h2");
  const text = el("p");
  const other = el("button", { class: "quiet", attrs: { type: "button" } });
  const root = el("section", { class: "failure", id: "failure", attrs: { role: "alert" } }, title, text, other);
  let shown: Failure | null = null;
  let otherChoice: Choice = "both";
  other.addEventListener("click", () => {
    hands.send({ do: "choose", choice: otherChoice });
    document.getElementById("agree")?.focus();
  });
  show(root, false);
  return {
    root,
    draw: (failure: Failure | null, nowS: number) => {
      show(root, failure !== null);
      if (failure === null) {
        shown = null;
        return;
      }
      const waitS = failure.kind === "full" ? Math.max(0, Math.ceil(failure.retryAtS - nowS)) : 0;
      const said = words.failure(failure, waitS);
      setText(title, said.title);
      setText(text, said.text);
      // Beside the button that was pressed; taller pages have scrolled back up since.
      if (shown !== failure) requestAnimationFrame(() => root.scrollIntoView({ block: "center" }));
      shown = failure;
      const without = failure.kind === "no-camera" ? "microphone" : failure.kind === "no-microphone" ? "camera" : null;
      show(other, without !== null);
      if (without !== null) {
        otherChoice = without;
        setText(other, words.consent.sources[without]);
      }
    },
  };
};
