/** Every word the page says, in English. `de.ts` says the same in German; its type is this file's. */

import type { Choice, Failure, Kept } from "../state/view";
import type { Reduced } from "../wire/generated";

interface Said {
  readonly title: string;
  readonly text: string;
}

export const en = {
  language: "English",
  title: "EmoThinker live",
  skip: "Skip to the analysis",

  consent: {
    heading: "Before the camera opens",
    lead: "EmoThinker watches and listens while you speak, and writes down step by step what it notices in the face and the voice, how the two agree, and which emotion that points to.",
    what: {
      title: "What is analysed, and why",
      text: "The movement of the face and the sound of the voice, to suggest an emotion and give reasons for it. People are told apart by their place in the picture, never recognised. Words are not transcribed.",
      ifAgreed: "The movement of the face and the sound of the voice, to suggest an emotion and give reasons for it. People are told apart by their place in the picture, never recognised. What you say is written down only if you agree to it below.",
    },
    whereHere: {
      title: "Where it runs",
      text: "On this computer. Picture and sound do not leave it.",
    },
    whereThere: (host: string): Said => ({
      title: "Where it runs",
      text: `On the server ${host}. Picture and sound are sent there, encrypted, and nowhere else.`,
    }),
    kept: {
      title: "What is kept",
      text: "Nothing. The server forgets picture and sound within seconds, and what it wrote when the session ends. This page shows that until you close it or delete it.",
      ifAgreed: "Nothing, unless you say so below. The server forgets picture and sound within seconds, and what it wrote when the session ends. This page shows that until you close it or delete it.",
    },
    not: {
      title: "What this is not",
      text: "Not a readout of feelings. It describes what a face and a voice show, and it can be wrong about both. What you feel, only you know.",
    },
    notice: {
      title: "Notice under Article 50(3) of the EU AI Act",
      text: "This is an emotion recognition system. Everyone who may be seen or heard has to be told so, and how it works, before it starts; what is said about them is personal data and protected as such (GDPR).",
    },
    sourceLegend: "What do you want to share?",
    sources: { both: "Camera and microphone", camera: "Camera only", microphone: "Microphone only" } satisfies Record<Choice, string>,
    sourceNotes: {
      both: "Face and voice are read together, and against each other.",
      camera: "Only the face is read. Nothing is heard.",
      microphone: "Only the voice is read. Nothing is seen.",
    } satisfies Record<Choice, string>,
    writing: {
      legend: "May what you say be written down?",
      no: "No, only how it sounds",
      yes: "Yes, my words too",
      nothing: "Words are neither written down nor used.",
      note: "A speech recogniser on the same machine writes down each sentence after you have said it. Some words will be wrong. They are shown here, in what you save, and to whoever follows this session; no log has them.",
      keptToo: "If the server keeps what is written, it keeps your words as well.",
    },
    keeping: {
      legend: "May the server keep this session?",
      choices: { nothing: "No, keep nothing", events: "What is written", media: "Pictures and speech, too" },
      /** After “keeps”. */
      what: { events: "what is written about you", media: "what is written about you, one picture a second and your speech" } satisfies Record<Kept, string>,
      nothing: "Nothing of it will be on the server once it has ended.",
      note: (what: string, days: number) => `It keeps ${what}, encrypted, and deletes it after ${days === 1 ? "a day" : `${days} days`}. Whoever runs the server can read it. When the session has ended you can delete it with one click.`,
    },
    attest:
      "I do not use this on people at work or in education, where the EU AI Act forbids it (Article 5(1)(f)), and everyone in view or earshot knows about it and agrees.",
    attestMissing: "Please confirm this first.",
    remember: "Remember my consent in this browser",
    agree: {
      both: "I agree: open camera and microphone",
      camera: "I agree: open the camera",
      microphone: "I agree: open the microphone",
    } satisfies Record<Choice, string>,
    after: "Next you see yourself; nothing is sent until you begin. You can withdraw at any time with one click.",
    deleted: "Everything of that session is deleted.",
    open: {
      title: "Or look at a saved session.",
      text: "A session saved from this page, or the events of “realtime analyze”. The file stays in this browser.",
      button: "Open a saved session",
    },
  },

  starting: {
    permission: { title: "Your browser is asking for permission", text: "Choose “Allow” in the prompt to go on." },
    server: { title: "Connecting", text: "The first picture is on its way." },
    file: { title: "Reading the file", text: "A long session takes a few seconds." },
    cancel: "Cancel",
  },

  ready: {
    heading: "Is this how you want to be seen and heard?",
    lead: "Only you see and hear this. Nothing is sent until you begin.",
    level: "Loudness of the microphone",
    speak: "Say a few words: the bar should move.",
    heard: "You can be heard.",
    begin: "Begin the analysis",
    back: "Back",
    keeps: (what: string) => `From “Begin” on the server keeps ${what}, as you agreed.`,
  },

  failure: (failure: Failure, waitS: number): Said => {
    switch (failure.kind) {
      case "insecure":
        return {
          title: "This address is not secure, so the browser keeps the camera shut",
          text: "Open the page as http://localhost on the machine it runs on, or over https.",
        };
      case "unsupported":
        return { title: "This browser cannot send a camera", text: "Use a current Firefox, Chrome, Edge or Safari." };
      case "no-camera":
        return { title: "No camera found", text: "Plug one in and try again, or go on with the microphone only." };
      case "no-microphone":
        return { title: "No microphone found", text: "Plug one in and try again, or go on with the camera only." };
      case "refused":
        return {
          title: "Permission was refused",
          text: "Nothing was opened. To allow it, use the camera symbol in the address bar, then try again.",
        };
      case "in-use":
        return { title: "Another program is using the camera or microphone", text: "Close it there, then try again." };
      case "server-gone":
        return { title: "The server does not answer", text: "Start it again with “make serve” or “realtime serve”, then try again." };
      case "no-path":
        return {
          title: "No way through the network",
          text: "The server was found, but picture and sound cannot reach it. A firewall may block UDP, or a TURN server is needed (turn_url and turn_secret under [ice] in the server's settings).",
        };
      case "token":
        return { title: "This server wants a token", text: "Open the address with #token=… at its end, as whoever runs it gave it to you." };
      case "full":
        return {
          title: "All places are taken",
          text: waitS > 0 ? `Try again in ${waitS} s.` : "A place may be free now.",
        };
      case "not-saved":
        return {
          large: { title: "This file is too large for a session", text: "Sessions of two hours take about 20 MB." },
          none: { title: "This is no saved session", text: "Choose a .json file saved from this page, or a .jsonl file written by “realtime analyze”." },
          broken: { title: "This file cannot be read", text: "It may be cut off. Save or analyse it once more." },
        }[failure.why];
      case "problem":
        return { title: failure.detail, text: failure.hint };
    }
  },

  link: {
    connecting: "Connecting",
    open: "Live",
    media: "No picture or sound gets through; waiting for the network",
    retrying: (seconds: number) => (seconds > 0 ? `Reconnecting in ${seconds} s` : "Reconnecting"),
    retryingServer: (seconds: number) => (seconds > 0 ? `The server does not answer; trying again in ${seconds} s` : "The server does not answer; trying again"),
    over: "Ended",
    behind: (seconds: string) => `${seconds} s behind`,
  },

  live: {
    stop: "Stop",
    withdraw: "Stop and withdraw consent",
    recording: { events: "The server keeps what is written", media: "The server keeps pictures, speech and what is written" } satisfies Record<Kept, string>,
    recordingFailed: "The server keeps nothing more",
    picture: "Your camera",
    onlyVoice: "Microphone only: nothing is seen.",
    person: (letter: string) => `Person ${letter}`,
    personLabel: (letter: string, label: string) => `Person ${letter}: ${label}`,
    speaking: "Speech",
    quiet: "Quiet",
    listeningOff: "No microphone",
    faces: (n: number) => (n === 0 ? "No face in view" : n === 1 ? "1 face" : `${n} faces`),
    mirror: "Mirror",
    focal: "Focal area",
    focalNote: "The model reads the outlined area in full and thins out the rest.",
    patches: "Patches",
    patchesNote: "How the model reads: patches in focus in full (clear), of the background most (veiled) but not all (struck through), and nothing outside the grid.",
    scene: (brightness: string, saturation: string) => `Brightness ${brightness}, saturation ${saturation}.`,
    tokens: (focal: number, background: number, dropped: number) => `Patches: ${focal} in focus, ${background} around, ${dropped} dropped`,
    strip: (seconds: number) => `Last ${seconds} seconds: loudness, speech and analysed moments`,
    camera: "Camera",
    microphone: "Microphone",
    devices: "Devices",
    running: (model: string, engine: string, labelModel: string | null) =>
      `${model} on ${engine}${labelModel === null ? "" : `; labels by ${labelModel}`}`,
    skipped: (frames: number, windows: number) => `${frames} frames and ${windows} windows skipped.`,
    unread: (n: number) => `${n} messages could not be read; the server may be newer than this page.`,
  },

  unplugged: {
    camera: { title: "The camera is gone", text: "Plug it in again, or another one; it is taken up by itself." },
    microphone: { title: "The microphone is gone", text: "Plug it in again, or another one; it is taken up by itself." },
  },

  happened: {
    camera: (): Said => ({ title: "The camera is back", text: "" }),
    microphone: (): Said => ({ title: "The microphone is back", text: "" }),
    link: (): Said => ({ title: "Connected again", text: "What was said in between has been caught up with." }),
    session: (): Said => ({ title: "The session goes on", text: "The server had lost it. What was written before is still here." }),
    background: (n: number): Said => ({
      title: n === 1 ? "1 moment while this tab was in the background" : `${n} moments while this tab was in the background`,
      text: "They are in the timeline and under “Earlier moments”.",
    }),
  },

  /** What the server leaves out until it has caught up. */
  slow: {
    title: "The server is slow",
    chains: "The reasons wait until it has caught up.",
    windows: "Until it has caught up, the reasons wait and quiet moments are left out.",
    frames: "Until it has caught up, the reasons wait; quiet moments and every other picture are left out.",
  } satisfies Record<Exclude<Reduced, "nothing"> | "title", string>,

  notices: {
    no_face: { title: "No face in view", text: "Sit facing the camera, with light on your face." },
    no_voice: {
      title: "This does not sound like a voice",
      text: "It is noise, breath or typing, or its pitch stands still as that of music or a machine, so it is not read as a voice. Turn it off, or move away from it.",
    },
    narrow_band: { title: "The sound is that of a telephone", text: "Nothing above 4 kHz arrives, so labels from the voice are less sure. Use another microphone, or take the headset out of call mode." },
    inverted_channel: { title: "One sound channel is inverted", text: "It is left out. Check the cable or the interface." },
    sound_offset: { title: "The sound is shifted", text: "The sound card adds an offset, which is taken away. Another input would be better." },
    muted: { title: "The microphone is silent", text: "Unmute it in the system or on the headset." },
    camera_frozen: { title: "The picture stands still", text: "Unplug the camera and plug it in again, or close other programs that use it." },
    too_dark: { title: "Too dark to see a face", text: "Uncover the lens or turn on a light." },
    no_video: { title: "No picture arrives", text: "The voice alone is read meanwhile." },
    no_audio: { title: "No sound arrives", text: "The face alone is read meanwhile." },
    record_failed: { title: "The server can no longer keep this session", text: "The analysis goes on. What was kept until now can be deleted as before." },
    events_lost: { title: "Some events were missed", text: "This page was away for longer than the server holds what is written." },
    /** Whatever of the analysis has failed. */
    step_failed: { title: "A moment was lost", text: "The model failed on it; the analysis goes on with the next." },
    over: {
      no_face: "A face is back in view",
      no_voice: "A voice is heard again",
      narrow_band: "The sound is whole again",
      muted: "The microphone is back",
      camera_frozen: "The picture moves again",
      too_dark: "There is light again",
      no_video: "The picture is back",
      no_audio: "The sound is back",
      step_failed: "The model works again",
    } as Readonly<Record<string, string>>,
  },

  conclusion: {
    heading: "What it points to",
    not: "Not a readout of feelings: it describes what a face and a voice show, and it can be wrong about both.",
    waiting: "Listening and watching",
    waitingNote: "The first answer comes a moment after you have spoken, or after four seconds of quiet.",
    first: "First impression",
    reasoned: "After reasoning",
    reasoning: "Reasoning",
    unsure: "Unsure",
    unsureBetween: (a: string, b: string) => `between ${a} and ${b}`,
    unsureShares: (a: string, b: string) => `${a} and ${b}`,
    noneFits: (percent: string) => `none of these labels fits, ${percent}`,
    contradicts: {
      face: "The reasons do not hold to what was found in the face",
      voice: "The reasons do not hold to what was found in the voice",
      agreement: "The reasons are wrong about whether face and voice agree",
      answer: "The answer is not what the reasons lead to",
    },
    certainty: { high: "Clearly", middle: "Probably", low: "Perhaps" },
    confidence: (percent: string) => `${percent} confidence`,
    intensity: { slight: "slight expression", moderate: "moderate expression", strong: "strong expression" } as Readonly<Record<string, string>>,
    bars: "Probability of each label",
    tick: "First impression",
    about: (from: string, to: string) => `${from} to ${to}`,
    turned: (was: string, by: readonly string[]) => `at first ${was}, turned by ${by.join(" and ")}`,
    turnedBy: { second_look: "a second look at the face", reasons: "the reasons", words: "what was said" },
    alone: { face: "from the face alone", voice: "from the voice alone", unseen: "from the voice alone; no picture was looked at" },
  },

  conflict: {
    heading: "Face against voice",
    face: "Face alone",
    voice: "Voice alone",
    score: { low: "They agree.", middle: "They differ somewhat.", high: "They disagree." },
    scoreNote: (score: string) => `Difference ${score} of 1`,
    none: "Face and voice are compared once both are there.",
    row: (label: string, face: string, voice: string) => `${label}: face ${face}, voice ${voice}`,
  },

  affect: {
    valence: { high: "pleasant", middle: "neither pleasant nor unpleasant", low: "unpleasant" },
    arousal: { high: "excited", middle: "neither calm nor excited", low: "calm" },
    basis: { face: "by the face", voice: "by the voice", both: "by face and voice" },
    told: (word: string, value: string, basis: string) => `${word} (${value}, ${basis})`,
  },

  people: {
    heading: "Each person, by the face alone",
    unsure: (label: string) => `unsure, perhaps ${label}`,
    speaks: (label: string) => `${label} · the voice is theirs`,
  },

  chain: {
    heading: "Reasoning",
    empty: "The reasons are written here as they come, in seven steps: voice, face, context, atmosphere, overall, weighing, answer.",
    follows: "The reasons follow.",
    skipped: "No reasons were written for this moment: newer ones came before its turn.",
    held: "Held while you read.",
    pinned: (time: string) => `An earlier moment, ${time}.`,
    late: (time: string) => `About ${time}. The reasons for the newest moment follow.`,
    back: "Back to live",
    sections: {
      face: "Face",
      context: "Context",
      atmosphere: "Atmosphere",
      voice: "Voice",
      coarse: "Overall",
      fine: "Weighing",
      answer: "Answer",
    },
    hint: "Point at a statement or tap it, or step through with the arrow keys: what it rests on lights up.",
    asked: (query: string, readAs: string | null, by: string | null) => `Asked: “${query}”${readAs === null ? "" : `, read as: “${readAs}”`}${by === null ? "" : ` (${by} answers)`}`,
    answeredFrom: {
      measurements: "The question was answered from what was measured in this moment, by a program. No language model wrote that; the label after it is the model’s.",
      probabilities: "The question was answered from how probable the labels of this moment are, by a program. The model’s own words said otherwise.",
      nothing: "A program says so: this is no question that can be answered here. The label after it is the model’s.",
    },
    wordsRead: "It was weighed with what was said.",
    unsupported: "What is crossed out was measured otherwise.",
    rewritten: "The weighing was written a second time: the first one did not hold to what was found or judged.",
    uncalibrated: "The model was not trained to tell these labels apart, or never measured at it. Its percentages are not calibrated for them.",
    stock: "No adapter is loaded: the model is as it was published, was never trained to tell emotions, and nobody measured how often it is right.",
  },

  ask: {
    heading: "Ask something else",
    lead: "Your question goes to the model with the next moments. Labels are words for emotions that it knows, or for several: joy, rage, calm, pleasant, unpleasant, other. Who somebody is, their age, sex, origin, health, religion, sexuality and guilt are not judged.",
    query: "Question",
    placeholder: "Do face and voice agree?",
    labels: "Labels to choose from, separated by commas",
    labelsPlaceholder: "joy, anger, other",
    send: "Ask",
    presetsLabel: "Examples",
    default: "Which emotion do face and voice point to?",
    presets: [
      { name: "Do face and voice agree?", query: "Do face and voice agree?", labels: null },
      { name: "Louder than usual?", query: "Is the voice louder than usual?", labels: null },
      { name: "Is the person smiling?", query: "Is the person smiling?", labels: null },
      { name: "When did the face change?", query: "When did the face change?", labels: null },
      { name: "Face or voice first?", query: "What came first, the face or the voice?", labels: null },
      { name: "Who smiles more?", query: "Who smiles more?", labels: null },
      { name: "Sum up the last two minutes", query: "Summarise the last two minutes", labels: null },
      { name: "Pleasant?", query: null, labels: ["pleasant", "unpleasant", "neutral"] },
      { name: "Joy or something else", query: null, labels: ["joy", "other"] },
      { name: "Angry or not", query: null, labels: ["angry", "not angry"] },
      { name: "Back to the emotions", query: null, labels: null },
    ] as readonly { name: string; query: string | null; labels: readonly string[] | null }[],
    sending: "Asking …",
    accepted: (query: string) => `“${query}” is asked from the next moment on.`,
    answered: (query: string) => `Now answering: “${query}”`,
    failed: "The server does not answer; ask again.",
    summary: {
      rests: "It was written from these:",
      coming: "The summary is being written …",
      heading: (from: string, to: string) => `Summary, ${from} to ${to}`,
      by: {
        measured: (_model: string) => "Counts and measurements of this session, put into sentences by a program. No language model wrote this.",
        model: (model: string) => `Written by ${model} from this session’s counts and measurements. Each sentence was checked against them.`,
      },
    },
    caution: "The answer stands in the section “Answer” of the reasons, before the label. With nano, the model that is included, questions about what is measured can be answered: the face’s movements and when they changed, the voice’s loudness, pitch and rate, what came first, whether both agree, mood, light, how many people there are, and who shows more of a movement. It may be wrong. Where a program and not the model answered, that is said beneath. Other questions are told to be none that can be answered.",
    count: (n: number, most: number) => `${n} of ${most} characters`,
    tooLong: (n: number, most: number) => `${n} characters. Ask in ${most} or fewer; nothing was sent.`,
    notJudged: "That is not judged here: who somebody is, their age, sex, origin, health, religion, sexuality, or guilt. Ask about what the face and the voice show.",
    unknownLabels: (labels: readonly string[], known: readonly string[]) =>
      `The model knows nothing of ${labels.map((label) => `“${label}”`).join(", ")}. It tells ${known.join(", ")} apart; words for these, or for several, can be labels.`,
  },

  follow: {
    heading: "Follow from a program",
    lead: "Makes an address with which a program, a second screen or OBS reads this session while it runs. Whoever has it can read, and do nothing else.",
    make: "Make an address",
    making: "Making one …",
    failed: "The server does not answer; try again.",
    revoked: "Revoked. Nobody reads by that address any more.",
    notice: "Not a readout of feelings",
    addresses: { program: "For a program", watch: "Second screen", overlay: "Overlay for OBS" },
    copy: (what: string) => `Copy: ${what}`,
    copyShort: "Copy",
    copied: "Copied.",
    revoke: "Revoke",
    enter: "Address of a session",
    placeholder: "https://…/sessions/ID#KEY",
    open: "Follow",
    wrong: "This is no address of a session. It looks like https://…/sessions/ID#KEY.",
    gone: "This address opens nothing: it was revoked, or the session has ended.",
    noTicket: {
      session: "The server has no such session: it has ended, or the address is mistyped.",
      key: "The key at the end of this address is wrong, or it was revoked. Ask for a new address.",
    },
    connecting: "Connecting …",
  },

  timeline: {
    heading: "Over time",
    label: "Timeline. Left and right arrows read the moment before or after, plus and minus zoom, Escape goes back to live.",
    empty: "The course of the session is drawn here.",
    legend: "Height is probability. The thick line marks the answer at that time.",
    hint: "Click to read what was said about a moment; drag to zoom.",
    raw: "Raw values",
    rawNote: "Each moment as it was, without smoothing.",
    zoom: "Zoom",
    zoomIn: "Zoom in",
    zoomOut: "Zoom out",
    marks: (names: string) => `Marks: ${names}.`,
    span: (minutes: number) => `${minutes} min`,
    whole: "All",
    speech: "Speech",
    usualWaits: "Drawn once this voice’s usual is known: after three stretches and six seconds of speech.",
    measured: {
      lip_corner_pull: "Lip corners up",
      brow_lower: "Brows down",
      jaw_drop: "Mouth open",
      pitch_hz: "Pitch",
      loudness_db: "Loudness",
    },
    readout: (time: string, label: string, share: string, said: string) => `${time}: ${label}, ${share}. About this moment alone: ${said}.`,
    /** The sides are the person's own: they stay right in a mirrored picture. */
    pose: {
      straight: "Head straight.",
      turned: (parts: readonly string[]) => `Head ${parts.join(", ")}.`,
      right: (degrees: string) => `turned to the person’s right by ${degrees}`,
      left: (degrees: string) => `turned to the person’s left by ${degrees}`,
      up: (degrees: string) => `raised by ${degrees}`,
      down: (degrees: string) => `lowered by ${degrees}`,
      tiltRight: (degrees: string) => `tilted to the person’s right by ${degrees}`,
      tiltLeft: (degrees: string) => `tilted to the person’s left by ${degrees}`,
    },
  },

  replay: {
    title: "A saved session",
    kept: "It is open in this browser only; nothing of it is sent.",
    play: "Play",
    pause: "Pause",
    place: "Place in the session",
    addVideo: "Add its video",
    noVideo: "Add the video to see the picture behind the boxes.",
    close: "Close the session",
  },

  report: {
    heading: "EmoThinker live: report of a session",
    printed: (when: string) => `Printed ${when}`,
    model: "Model",
    length: "Length",
    speech: "Speech",
    moments: "Moments analysed",
    question: "Question",
    standing: "Moments that stand out",
    time: "Time",
    answer: "Answer",
    conflict: "Face and voice",
    reason: "Because",
  },

  said: {
    heading: "What was said",
    none: "No words were understood here.",
    /** Beneath the words. */
    from: (start: string, end: string, percent: string) => `${start} to ${end}, written down by a speech recogniser; sure of it to ${percent}`,
    alone: (label: string, percent: string) => `The words alone say ${label} (${percent}).`,
    /** Nothing where they agree. */
    against: {
      face: { low: "", middle: "The face says something a little different.", high: "The face disagrees with them." },
      voice: { low: "", middle: "The voice says something a little different.", high: "The voice disagrees with them." },
    },
  },

  history: {
    heading: "Earlier moments",
    empty: "Each analysed moment is listed here.",
    item: (time: string, label: string, percent: string) => `${time}: ${label}, ${percent}`,
    unfinished: "being written",
    more: (n: number) => `Show ${n} earlier`,
    print: "Report",
    saveAs: "Save as",
    save: (format: string) => `Save as ${format}`,
    formats: { json: "JSON", csv: "CSV", vtt: "Subtitles" },
  },

  latency: {
    heading: "Latency",
    empty: "Times appear after the first analysis.",
    stage: "Stage",
    last: "Last",
    median: "Median",
    p95: "95 %",
    unit: "ms",
    about: "Measured on the server, over the last 200 moments. “After the pause”: from when you have stopped speaking, or after four seconds of quiet.",
    speed: (tokens: string) => `${tokens} tokens of reasoning a second.`,
    stages: {
      faces: "Find faces",
      vision: "Read the picture",
      cues: "Measure the faces",
      append: "Read it into the model",
      see: "All of a picture",
      hear: "All of a sentence",
      fast: "Score the labels",
      label: "First label, after the pause",
      first_word: "First word, after the pause",
      reason: "Write the reasons",
      total: "Whole answer, after the pause",
    },
  },

  ended: {
    withdrawn: { title: "Consent withdrawn. The session has ended.", text: "Camera and microphone are off. The server has let go of everything it held." },
    stopped: { title: "The session has ended.", text: "Camera and microphone are off." },
    closed: { title: "The session has ended.", text: "Camera and microphone are off." },
    gone: { title: "The server is gone.", text: "Camera and microphone are off. Start the server again, then begin a new session." },
    /** What the server says of a session that ended by itself; # stands for a number of seconds; here, before another word than “s”, of minutes. */
    reasons: {
      "The server was stopped.": "Whoever runs the server has stopped it.",
      "The session failed.": "It failed on the server, whose log says why.",
      "The session was ended by its owner.": "It was ended from elsewhere.",
      "A session lasts # s at most.": "A session lasts # minutes at most.",
      "Nobody has read its events for # s.": "This page was away for # minutes.",
      "peer left": "The sending browser closed its connection to the server.",
      "peer lost": "Picture and sound stopped coming in, so the server let go of the session.",
      "peer lost: nothing came for # s": "Neither picture nor sound came in for # s, so the server let go of the session.",
      "peer lost: its network path stopped answering": "The sending browser no longer answered the server’s checks of the connection. It may have been too busy, or the network was interrupted.",
      "no media": "The connection stood, but neither picture nor sound came in.",
    } as Readonly<Record<string, string>>,
    goOn: "Begin again",
    goOnNote: "“Begin again” goes on with this session: what was written stays.",
    again: "Delete and start a new session",
    print: "Print a report",
    forget: "Delete everything",
    kept: "What was written is still on this page, and only here. Save it below to keep it.",
    keptHere: "What was written is also still on this page. Save it below to have it yourself.",
    next: "Start a new session",
  },

  /** A session that somebody else sends, once this page shows no more of it. */
  viewed: {
    ended: "The session has ended.",
    cut: "You no longer follow this session.",
    gone: { title: "The server does not answer any more.", text: "Whether the session goes on cannot be told from here." },
    kept: "What you have followed is still on this page. Save it below to keep it.",
    again: "Follow another session",
  },

  recording: {
    kept: (what: string, until: string) => `As you agreed, the server keeps ${what} until ${until}, encrypted. Once you leave this page, only whoever runs the server can delete it before then.`,
    delete: "Delete it on the server",
    deleting: "The server is deleting what it kept …",
    deleted: "What the server had kept of it is deleted.",
    "not deleted": "The server gave no answer, so what it kept may still be there.",
  },

  labels: {
    happy: "happy",
    sad: "sad",
    neutral: "neutral",
    angry: "angry",
    surprise: "surprised",
    disgust: "disgusted",
    fear: "afraid",
    unsure: "unsure",
  } as Readonly<Record<string, string>>,

  languageLabel: "Language",
};

export type Messages = typeof en;
