/** What the page says of a session that is over: one that it sent itself, or one that somebody else sends. */

import type { Messages } from "../messages";
import type { Phase } from "../state/view";
import { reason } from "./format";

type Ended = Extract<Phase, { name: "ended" }>;

export interface EndedWords {
  readonly title: string;
  readonly text: string;
  /** What becomes of what was written. */
  readonly kept: string;
  /** What the button says that leads on. */
  readonly again: string;
}

export function endedWords(words: Messages, { why, detail }: Ended, onServer: boolean): EndedWords {
  const say = words.ended;
  return {
    title: say[why].title,
    text: [reason(words, detail), say[why].text].filter(Boolean).join(" "),
    kept: [onServer ? say.keptHere : say.kept, why === "closed" || why === "gone" ? say.goOnNote : ""].filter(Boolean).join(" "),
    again: onServer ? say.next : say.again,
  };
}

/**
 * The same where somebody else sends the session. It may go on after this page has lost it, so nothing is said of its
 * camera; and what this page shows is a copy, whose deletion deletes no session.
 */
export function viewedEndWords(words: Messages, { why, detail }: Ended): EndedWords {
  const say = words.viewed;
  // Only its last event tells that a session has ended. Without one, this page may no longer read it, or reaches no server.
  const { title, text } = detail !== "" ? { title: say.ended, text: reason(words, detail) } : why === "gone" ? say.gone : { title: say.cut, text: words.follow.gone };
  return { title, text, kept: say.kept, again: say.again };
}
