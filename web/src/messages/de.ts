/** Alles, was die Seite sagt, auf Deutsch. */

import type { Messages } from "./en";

export const de: Messages = {
  language: "Deutsch",
  title: "EmoThinker live",
  skip: "Direkt zur Analyse",

  consent: {
    heading: "Bevor die Kamera angeht",
    lead: "EmoThinker sieht und hört zu, während Sie sprechen, und schreibt Schritt für Schritt auf, was an Gesicht und Stimme auffällt, wie beide zusammenpassen und auf welche Emotion das hindeutet.",
    what: {
      title: "Was ausgewertet wird, und wozu",
      text: "Die Bewegung des Gesichts und der Klang der Stimme, um eine Emotion vorzuschlagen und zu begründen. Personen werden nach ihrem Platz im Bild unterschieden, nie wiedererkannt. Worte werden nicht mitgeschrieben.",
      ifAgreed: "Die Bewegung des Gesichts und der Klang der Stimme, um eine Emotion vorzuschlagen und zu begründen. Personen werden nach ihrem Platz im Bild unterschieden, nie wiedererkannt. Was Sie sagen, wird nur mitgeschrieben, wenn Sie unten zustimmen.",
    },
    whereHere: { title: "Wo es läuft", text: "Auf diesem Rechner. Bild und Ton verlassen ihn nicht." },
    whereThere: (host) => ({
      title: "Wo es läuft",
      text: `Auf dem Server ${host}. Bild und Ton gehen verschlüsselt dorthin und nirgendwo sonst hin.`,
    }),
    kept: {
      title: "Was gespeichert wird",
      text: "Nichts. Der Server vergisst Bild und Ton nach Sekunden und das Geschriebene mit dem Ende der Sitzung. Diese Seite zeigt es, bis Sie sie schließen oder es löschen.",
      ifAgreed: "Nichts, es sei denn, Sie erlauben es unten. Der Server vergisst Bild und Ton nach Sekunden und das Geschriebene mit dem Ende der Sitzung. Diese Seite zeigt es, bis Sie sie schließen oder es löschen.",
    },
    not: {
      title: "Was es nicht ist",
      text: "Kein Ablesen von Gefühlen. Es beschreibt, was Gesicht und Stimme zeigen, und kann sich bei beidem irren. Was Sie fühlen, wissen nur Sie.",
    },
    notice: {
      title: "Hinweis nach Artikel 50 Absatz 3 der KI-Verordnung der EU",
      text: "Dies ist ein Emotionserkennungssystem. Alle, die zu sehen oder zu hören sein können, müssen vor dem Start davon erfahren, auch wie es arbeitet; was es über sie sagt, sind personenbezogene Daten und als solche geschützt (DSGVO).",
    },
    sourceLegend: "Was möchten Sie teilen?",
    sources: { both: "Kamera und Mikrofon", camera: "Nur die Kamera", microphone: "Nur das Mikrofon" },
    sourceNotes: {
      both: "Gesicht und Stimme werden zusammen gelesen und gegeneinander abgewogen.",
      camera: "Nur das Gesicht wird gelesen. Nichts wird gehört.",
      microphone: "Nur die Stimme wird gelesen. Nichts wird gesehen.",
    },
    writing: {
      legend: "Darf mitgeschrieben werden, was Sie sagen?",
      no: "Nein, nur der Klang zählt",
      yes: "Ja, auch meine Worte",
      nothing: "Worte werden weder mitgeschrieben noch verwendet.",
      note: "Eine Spracherkennung auf demselben Rechner schreibt jeden Satz mit, nachdem Sie ihn gesagt haben. Manche Worte werden falsch sein. Sie stehen hier, in dem, was Sie sichern, und bei allen, die dieser Sitzung folgen; in keinem Protokoll.",
      keptToo: "Wenn der Server das Geschriebene aufbewahrt, dann auch Ihre Worte.",
    },
    keeping: {
      legend: "Darf der Server diese Sitzung aufbewahren?",
      choices: { nothing: "Nein, nichts aufbewahren", events: "Das Geschriebene", media: "Auch Bilder und Gesprochenes" },
      what: { events: "was über Sie geschrieben wird", media: "was über Sie geschrieben wird, ein Bild je Sekunde und Ihr Gesprochenes" },
      nothing: "Nach dem Ende ist auf dem Server nichts mehr davon.",
      note: (what, days) => `Er bewahrt auf, ${what}, verschlüsselt, und löscht es nach ${days === 1 ? "einem Tag" : `${days} Tagen`}. Wer den Server betreibt, kann es lesen. Nach dem Ende der Sitzung können Sie es mit einem Klick löschen.`,
    },
    attest:
      "Ich wende dies nicht auf Menschen am Arbeitsplatz oder in Bildungseinrichtungen an, wo die KI-Verordnung es verbietet (Artikel 5 Absatz 1 Buchstabe f), und alle in Sicht- oder Hörweite wissen davon und sind einverstanden.",
    attestMissing: "Bitte bestätigen Sie das zuerst.",
    remember: "Meine Einwilligung in diesem Browser merken",
    agree: {
      both: "Einverstanden: Kamera und Mikrofon öffnen",
      camera: "Einverstanden: Kamera öffnen",
      microphone: "Einverstanden: Mikrofon öffnen",
    },
    after: "Zuerst sehen Sie sich selbst; gesendet wird nichts, bis Sie beginnen. Sie können jederzeit mit einem Klick widerrufen.",
    deleted: "Alles aus dieser Sitzung ist gelöscht.",
    open: {
      title: "Oder sehen Sie sich eine gesicherte Sitzung an.",
      text: "Eine Sitzung von dieser Seite oder die Ereignisse von „realtime analyze“. Die Datei bleibt in diesem Browser.",
      button: "Gesicherte Sitzung öffnen",
    },
  },

  starting: {
    permission: { title: "Ihr Browser fragt um Erlaubnis", text: "Wählen Sie dort „Zulassen“, um fortzufahren." },
    server: { title: "Verbindung wird aufgebaut", text: "Das erste Bild ist unterwegs." },
    file: { title: "Die Datei wird gelesen", text: "Eine lange Sitzung braucht einige Sekunden." },
    cancel: "Abbrechen",
  },

  ready: {
    heading: "Möchten Sie so gesehen und gehört werden?",
    lead: "Das sehen und hören nur Sie. Gesendet wird nichts, bis Sie beginnen.",
    level: "Lautstärke des Mikrofons",
    speak: "Sagen Sie ein paar Worte: Der Balken sollte sich bewegen.",
    heard: "Man kann Sie hören.",
    begin: "Auswertung beginnen",
    back: "Zurück",
    keeps: (what) => `Ab „Auswertung beginnen“ bewahrt der Server auf, ${what}; so haben Sie es erlaubt.`,
  },

  failure: (failure, waitS) => {
    switch (failure.kind) {
      case "insecure":
        return {
          title: "Diese Adresse ist nicht sicher, deshalb gibt der Browser die Kamera nicht frei",
          text: "Öffnen Sie die Seite auf dem Rechner, auf dem sie läuft, als http://localhost, oder über https.",
        };
      case "unsupported":
        return { title: "Dieser Browser kann kein Kamerabild senden", text: "Nehmen Sie ein aktuelles Firefox, Chrome, Edge oder Safari." };
      case "no-camera":
        return { title: "Keine Kamera gefunden", text: "Schließen Sie eine an und versuchen Sie es erneut, oder machen Sie nur mit dem Mikrofon weiter." };
      case "no-microphone":
        return { title: "Kein Mikrofon gefunden", text: "Schließen Sie eines an und versuchen Sie es erneut, oder machen Sie nur mit der Kamera weiter." };
      case "refused":
        return {
          title: "Die Erlaubnis wurde verweigert",
          text: "Es wurde nichts geöffnet. Erlauben können Sie es über das Kamerasymbol in der Adresszeile; versuchen Sie es dann erneut.",
        };
      case "in-use":
        return { title: "Ein anderes Programm benutzt Kamera oder Mikrofon", text: "Schließen Sie es dort und versuchen Sie es erneut." };
      case "server-gone":
        return { title: "Der Server antwortet nicht", text: "Starten Sie ihn mit „make serve“ oder „realtime serve“ und versuchen Sie es erneut." };
      case "no-path":
        return {
          title: "Kein Weg durch das Netz",
          text: "Der Server wurde gefunden, aber Bild und Ton erreichen ihn nicht. Vielleicht sperrt eine Firewall UDP, oder es braucht einen TURN-Server (turn_url und turn_secret unter [ice] in den Einstellungen des Servers).",
        };
      case "token":
        return { title: "Dieser Server verlangt ein Token", text: "Öffnen Sie die Adresse mit #token=… am Ende, so wie Sie sie vom Betreiber bekommen haben." };
      case "full":
        return { title: "Alle Plätze sind belegt", text: waitS > 0 ? `Versuchen Sie es in ${waitS} s noch einmal.` : "Jetzt könnte ein Platz frei sein." };
      case "not-saved":
        return {
          large: { title: "Diese Datei ist zu groß für eine Sitzung", text: "Zwei Stunden brauchen etwa 20 MB." },
          none: { title: "Das ist keine gesicherte Sitzung", text: "Wählen Sie eine .json-Datei von dieser Seite oder eine .jsonl-Datei von „realtime analyze“." },
          broken: { title: "Diese Datei lässt sich nicht lesen", text: "Vielleicht ist sie abgeschnitten. Sichern oder analysieren Sie noch einmal." },
        }[failure.why];
      case "problem":
        return { title: failure.detail, text: failure.hint };
    }
  },

  link: {
    connecting: "Verbinden",
    open: "Live",
    media: "Bild und Ton kommen nicht durch; warte auf das Netz",
    retrying: (seconds) => (seconds > 0 ? `Neuer Versuch in ${seconds} s` : "Verbinde neu"),
    retryingServer: (seconds) => (seconds > 0 ? `Der Server antwortet nicht; neuer Versuch in ${seconds} s` : "Der Server antwortet nicht; neuer Versuch"),
    over: "Beendet",
    behind: (seconds) => `${seconds} s im Rückstand`,
  },

  live: {
    stop: "Beenden",
    withdraw: "Beenden und widerrufen",
    recording: { events: "Der Server bewahrt das Geschriebene auf", media: "Der Server bewahrt Bilder, Gesprochenes und Geschriebenes auf" },
    recordingFailed: "Der Server bewahrt nichts mehr auf",
    picture: "Ihre Kamera",
    onlyVoice: "Nur das Mikrofon: Nichts wird gesehen.",
    person: (letter) => `Person ${letter}`,
    personLabel: (letter, label) => `Person ${letter}: ${label}`,
    speaking: "Sprache",
    quiet: "Stille",
    listeningOff: "Kein Mikrofon",
    faces: (n) => (n === 0 ? "Kein Gesicht im Bild" : n === 1 ? "1 Gesicht" : `${n} Gesichter`),
    mirror: "Spiegeln",
    focal: "Fokus",
    focalNote: "Den umrandeten Bereich liest das Modell ganz, den Rest dünnt es aus.",
    patches: "Bildteile",
    patchesNote: "So liest das Modell: den Fokus ganz (klar), vom Hintergrund das meiste (verschleiert), aber nicht alles (durchgestrichen), außerhalb des Rasters nichts.",
    scene: (brightness, saturation) => `Helligkeit ${brightness}, Farbsättigung ${saturation}.`,
    tokens: (focal, background, dropped) => `Bildteile: ${focal} im Fokus, ${background} ringsum, ${dropped} ausgelassen`,
    strip: (seconds) => `Die letzten ${seconds} Sekunden: Lautstärke, Sprache und ausgewertete Momente`,
    camera: "Kamera",
    microphone: "Mikrofon",
    devices: "Geräte",
    running: (model, engine, labelModel) => `${model} auf ${engine}${labelModel === null ? "" : `; Labels von ${labelModel}`}`,
    skipped: (frames, windows) => `${frames} Bilder und ${windows} Abschnitte übersprungen.`,
    unread: (n) => `${n} Nachrichten waren nicht zu lesen; der Server ist vielleicht neuer als diese Seite.`,
  },

  unplugged: {
    camera: { title: "Die Kamera ist weg", text: "Stecken Sie sie wieder an oder nehmen Sie eine andere; es geht dann von selbst weiter." },
    microphone: { title: "Das Mikrofon ist weg", text: "Stecken Sie es wieder an oder nehmen Sie ein anderes; es geht dann von selbst weiter." },
  },

  happened: {
    camera: () => ({ title: "Die Kamera ist wieder da", text: "" }),
    microphone: () => ({ title: "Das Mikrofon ist wieder da", text: "" }),
    link: () => ({ title: "Wieder verbunden", text: "Was inzwischen gesagt wurde, ist nachgeholt." }),
    session: () => ({ title: "Die Sitzung geht weiter", text: "Der Server hatte sie verloren. Das zuvor Geschriebene ist noch da." }),
    background: (n) => ({
      title: n === 1 ? "1 Moment, während dieser Tab im Hintergrund war" : `${n} Momente, während dieser Tab im Hintergrund war`,
      text: "Sie stehen im Verlauf und unter „Frühere Momente“.",
    }),
  },

  slow: {
    title: "Der Server ist langsam",
    chains: "Die Gründe warten, bis er aufgeholt hat.",
    windows: "Bis er aufgeholt hat, warten die Gründe, und stille Momente entfallen.",
    frames: "Bis er aufgeholt hat, warten die Gründe; stille Momente und jedes zweite Bild entfallen.",
  },

  notices: {
    no_face: { title: "Kein Gesicht im Bild", text: "Setzen Sie sich vor die Kamera, mit Licht auf dem Gesicht." },
    no_voice: {
      title: "Das klingt nicht nach einer Stimme",
      text: "Es ist Rauschen, Atem oder Tippen, oder die Tonhöhe steht still wie bei Musik oder einem Gerät. Es wird nicht als Stimme gelesen. Schalten Sie es aus oder gehen Sie weiter weg.",
    },
    narrow_band: { title: "Der Ton klingt wie am Telefon", text: "Über 4 kHz kommt nichts an, also sind Aussagen aus der Stimme weniger sicher. Nehmen Sie ein anderes Mikrofon oder ein Headset ohne Anrufmodus." },
    inverted_channel: { title: "Ein Tonkanal ist umgepolt", text: "Er wird weggelassen. Prüfen Sie Kabel und Anschluss." },
    sound_offset: { title: "Der Ton ist verschoben", text: "Die Soundkarte verschiebt den Ton; das wird abgezogen. Ein anderer Eingang wäre besser." },
    muted: { title: "Das Mikrofon ist stumm", text: "Schalten Sie es im System oder am Headset ein." },
    camera_frozen: { title: "Das Bild steht still", text: "Stecken Sie die Kamera neu an oder schließen Sie andere Programme, die sie benutzen." },
    too_dark: { title: "Zu dunkel für ein Gesicht", text: "Decken Sie die Linse auf oder machen Sie Licht." },
    no_video: { title: "Es kommt kein Bild an", text: "Solange wird nur die Stimme gelesen." },
    no_audio: { title: "Es kommt kein Ton an", text: "Solange wird nur das Gesicht gelesen." },
    record_failed: { title: "Der Server kann diese Sitzung nicht weiter aufbewahren", text: "Die Auswertung geht weiter. Was er bisher aufbewahrt hat, lässt sich wie zuvor löschen." },
    events_lost: { title: "Einige Ereignisse fehlen", text: "Diese Seite war länger weg, als der Server das Geschriebene vorhält." },
    step_failed: { title: "Ein Moment ging verloren", text: "Das Modell ist daran gescheitert; die Auswertung geht mit dem nächsten weiter." },
    over: {
      no_face: "Ein Gesicht ist wieder im Bild",
      no_voice: "Eine Stimme ist wieder zu hören",
      narrow_band: "Der Ton ist wieder vollständig",
      muted: "Das Mikrofon ist wieder da",
      camera_frozen: "Das Bild bewegt sich wieder",
      too_dark: "Es ist wieder hell genug",
      no_video: "Das Bild ist wieder da",
      no_audio: "Der Ton ist wieder da",
      step_failed: "Das Modell arbeitet wieder",
    },
  },

  conclusion: {
    heading: "Worauf es hindeutet",
    not: "Kein Ablesen von Gefühlen: Es beschreibt, was Gesicht und Stimme zeigen, und kann sich bei beidem irren.",
    waiting: "Es wird zugehört und zugesehen",
    waitingNote: "Die erste Antwort kommt, kurz nachdem Sie gesprochen haben, oder nach vier Sekunden Stille.",
    first: "Erster Eindruck",
    reasoned: "Nach dem Abwägen",
    reasoning: "Abwägen",
    unsure: "Unsicher",
    unsureBetween: (a, b) => `zwischen ${a} und ${b}`,
    unsureShares: (a, b) => `${a} und ${b}`,
    noneFits: (percent) => `keine dieser Antworten passt, ${percent}`,
    contradicts: {
      face: "Die Gründe halten sich nicht an das, was im Gesicht gefunden wurde",
      voice: "Die Gründe halten sich nicht an das, was in der Stimme gefunden wurde",
      agreement: "Die Gründe irren darin, ob Gesicht und Stimme übereinstimmen",
      answer: "Die Antwort ist nicht das, worauf die Gründe hinauslaufen",
    },
    certainty: { high: "Klar", middle: "Wahrscheinlich", low: "Vielleicht" },
    confidence: (percent) => `Sicherheit ${percent}`,
    intensity: { slight: "schwacher Ausdruck", moderate: "mittlerer Ausdruck", strong: "starker Ausdruck" },
    bars: "Wahrscheinlichkeit je Emotion",
    tick: "Erster Eindruck",
    about: (from, to) => `${from} bis ${to}`,
    turned: (was, by) => `zuerst ${was}, geändert durch ${by.join(" und ")}`,
    turnedBy: { second_look: "einen zweiten Blick auf das Gesicht", reasons: "die Gründe", words: "das Gesagte" },
    alone: { face: "nach dem Gesicht allein", voice: "nach der Stimme allein", unseen: "nach der Stimme allein; kein Bild wurde angesehen" },
  },

  conflict: {
    heading: "Gesicht gegen Stimme",
    face: "Nur das Gesicht",
    voice: "Nur die Stimme",
    score: { low: "Sie stimmen überein.", middle: "Sie weichen etwas ab.", high: "Sie widersprechen sich." },
    scoreNote: (score) => `Abweichung ${score} von 1`,
    none: "Gesicht und Stimme werden verglichen, sobald beide da sind.",
    row: (label, face, voice) => `${label}: Gesicht ${face}, Stimme ${voice}`,
  },

  affect: {
    valence: { high: "angenehm", middle: "weder angenehm noch unangenehm", low: "unangenehm" },
    arousal: { high: "erregt", middle: "weder ruhig noch erregt", low: "ruhig" },
    basis: { face: "nach dem Gesicht", voice: "nach der Stimme", both: "nach Gesicht und Stimme" },
    told: (word, value, basis) => `${word} (${value}, ${basis})`,
  },

  people: {
    heading: "Jede Person, nur nach dem Gesicht",
    unsure: (label) => `unsicher, vielleicht ${label}`,
    speaks: (label) => `${label} · von hier kommt die Stimme`,
  },

  chain: {
    heading: "Gedankengang",
    empty: "Hier entstehen nacheinander die Gründe, in sieben Schritten: Stimme, Gesicht, Umfeld, Stimmung im Bild, Gesamteindruck, Abwägung, Antwort.",
    follows: "Die Gründe folgen.",
    skipped: "Zu diesem Moment wurden keine Gründe geschrieben: Neuere kamen ihm zuvor.",
    held: "Bleibt stehen, solange Sie lesen.",
    pinned: (time) => `Ein früherer Moment, ${time}.`,
    late: (time) => `Zu ${time}. Die Gründe zum neuesten Moment folgen.`,
    back: "Zurück zu live",
    sections: {
      face: "Gesicht",
      context: "Umfeld",
      atmosphere: "Stimmung",
      voice: "Stimme",
      coarse: "Gesamteindruck",
      fine: "Abwägung",
      answer: "Antwort",
    },
    hint: "Zeigen oder tippen Sie auf eine Aussage oder gehen Sie mit den Pfeiltasten durch: Worauf sie beruht, leuchtet auf. Das Modell schreibt Englisch.",
    asked: (query, readAs, by) => `Gefragt: „${query}“${readAs === null ? "" : `, verstanden als: „${readAs}“`}${by === null ? "" : ` (${by} antwortet)`}`,
    answeredFrom: {
      measurements: "Beantwortet hat die Frage ein Programm, aus dem, was in diesem Moment gemessen wurde. Das hat kein Sprachmodell geschrieben; das Label danach ist vom Modell.",
      probabilities: "Beantwortet hat die Frage ein Programm, aus den Wahrscheinlichkeiten der Labels dieses Moments. Die eigenen Worte des Modells sagten etwas anderes.",
      nothing: "Das sagt ein Programm: Diese Frage gehört nicht zu denen, die hier beantwortet werden. Das Label danach ist vom Modell.",
    },
    wordsRead: "Abgewogen wurde auch, was gesagt wurde.",
    unsupported: "Durchgestrichenes wurde anders gemessen.",
    rewritten: "Die Abwägung wurde ein zweites Mal geschrieben: Die erste hielt sich nicht an das, was gefunden oder geurteilt wurde.",
    uncalibrated: "Das Modell hat nicht gelernt, diese Antworten zu unterscheiden, oder wurde nie daran gemessen. Seine Prozente sind dafür nicht geeicht.",
    stock: "Es ist kein Adapter geladen: Das Modell ist so, wie es veröffentlicht wurde, hat nie gelernt, Emotionen zu nennen, und niemand hat gemessen, wie oft es recht hat.",
  },

  ask: {
    heading: "Etwas anderes fragen",
    lead: "Ihre Frage geht mit den nächsten Momenten an das Modell; es hat nur Englisch gelernt, fragen Sie also auf Englisch. Antworten sind Wörter für Emotionen, die es kennt, oder für mehrere: Freude, Wut, ruhig, angenehm, unangenehm, anderes. Wer jemand ist, Alter, Geschlecht, Herkunft, Gesundheit, Religion, Sexualität und Schuld werden nicht beurteilt.",
    query: "Frage",
    placeholder: "Do face and voice agree?",
    labels: "Mögliche Antworten, durch Kommas getrennt",
    labelsPlaceholder: "Freude, Wut, anderes",
    send: "Fragen",
    presetsLabel: "Beispiele",
    default: "Auf welche Emotion deuten Gesicht und Stimme hin?",
    presets: [
      { name: "Stimmen Gesicht und Stimme überein?", query: "Do face and voice agree?", labels: null },
      { name: "Lauter als sonst?", query: "Is the voice louder than usual?", labels: null },
      { name: "Lächelt die Person?", query: "Is the person smiling?", labels: null },
      { name: "Wann änderte sich das Gesicht?", query: "When did the face change?", labels: null },
      { name: "Gesicht oder Stimme zuerst?", query: "What came first, the face or the voice?", labels: null },
      { name: "Wer lächelt mehr?", query: "Who smiles more?", labels: null },
      { name: "Die letzten zwei Minuten zusammenfassen", query: "Summarise the last two minutes", labels: null },
      { name: "Angenehm?", query: null, labels: ["angenehm", "unangenehm", "neutral"] },
      { name: "Freude oder etwas anderes", query: null, labels: ["Freude", "anderes"] },
      { name: "Wütend oder nicht", query: null, labels: ["wütend", "nicht wütend"] },
      { name: "Zurück zu den Emotionen", query: null, labels: null },
    ],
    sending: "Wird gefragt …",
    accepted: (query) => `Ab dem nächsten Moment wird gefragt: „${query}“`,
    answered: (query) => `Beantwortet wird jetzt: „${query}“`,
    failed: "Der Server antwortet nicht; fragen Sie noch einmal.",
    summary: {
      rests: "Geschrieben wurde es daraus:",
      coming: "Die Zusammenfassung wird geschrieben …",
      heading: (from, to) => `Zusammenfassung, ${from} bis ${to} (auf Englisch)`,
      by: {
        measured: () => "Zählungen und Messungen dieser Sitzung, von einem Programm in Sätze gebracht. Kein Sprachmodell hat das geschrieben.",
        model: (model) => `Von ${model} aus den Zählungen und Messungen dieser Sitzung geschrieben. Jeder Satz wurde mit ihnen verglichen.`,
      },
    },
    caution: "Die Antwort steht im Abschnitt „Antwort“ der Gründe, vor dem Label. Mit nano, dem mitgelieferten Modell, lassen sich Fragen nach dem beantworten, was gemessen wird: nach Bewegungen des Gesichts und wann sie sich änderten, nach Lautstärke, Höhe und Tempo der Stimme, was zuerst kam, ob beide übereinstimmen, nach Stimmung, Licht, der Zahl der Personen, und wer eine Bewegung stärker zeigt. Das kann falsch sein. Hat ein Programm und nicht das Modell geantwortet, steht es darunter. Von anderen Fragen wird gesagt, dass sie hier nicht beantwortet werden.",
    count: (n, most) => `${n} von ${most} Zeichen`,
    tooLong: (n, most) => `${n} Zeichen. Fragen Sie mit höchstens ${most}; es wurde nichts gesendet.`,
    notJudged: "Das wird hier nicht beurteilt: wer jemand ist, Alter, Geschlecht, Herkunft, Gesundheit, Religion, Sexualität oder Schuld. Fragen Sie nach dem, was Gesicht und Stimme zeigen.",
    unknownLabels: (labels, known) =>
      `${labels.map((label) => `„${label}“`).join(", ")} kennt das Modell nicht. Es unterscheidet ${known.join(", ")}; Wörter dafür, oder für mehrere davon, können Antworten sein.`,
  },

  follow: {
    heading: "Mit einem Programm folgen",
    lead: "Macht eine Adresse, mit der ein Programm, ein zweiter Bildschirm oder OBS diese Sitzung mitliest, solange sie läuft. Wer sie hat, kann lesen und sonst nichts.",
    make: "Adresse machen",
    making: "Wird gemacht …",
    failed: "Der Server antwortet nicht; bitte noch einmal.",
    revoked: "Zurückgenommen. Mit dieser Adresse liest niemand mehr mit.",
    notice: "Kein Ablesen von Gefühlen",
    addresses: { program: "Für ein Programm", watch: "Zweiter Bildschirm", overlay: "Einblendung für OBS" },
    copy: (what) => `Kopieren: ${what}`,
    copyShort: "Kopieren",
    copied: "Kopiert.",
    revoke: "Zurücknehmen",
    enter: "Adresse einer Sitzung",
    placeholder: "https://…/sessions/ID#SCHLÜSSEL",
    open: "Folgen",
    wrong: "Das ist keine Adresse einer Sitzung. Sie sieht so aus: https://…/sessions/ID#SCHLÜSSEL.",
    gone: "Diese Adresse öffnet nichts: Sie wurde zurückgenommen, oder die Sitzung ist zu Ende.",
    noTicket: {
      session: "Diese Sitzung kennt der Server nicht: Sie ist zu Ende, oder die Adresse ist falsch geschrieben.",
      key: "Der Schlüssel am Ende dieser Adresse ist falsch oder wurde zurückgenommen. Lassen Sie sich eine neue Adresse geben.",
    },
    connecting: "Verbindung wird aufgebaut …",
  },

  timeline: {
    heading: "Im Verlauf",
    label: "Zeitverlauf. Die Pfeiltasten links und rechts lesen den Moment davor oder danach, Plus und Minus zoomen, Escape führt zurück zu live.",
    empty: "Hier entsteht der Verlauf der Sitzung.",
    legend: "Die Höhe ist die Wahrscheinlichkeit. Die dicke Linie zeigt die Antwort zu dieser Zeit.",
    hint: "Klicken Sie, um zu lesen, was zu einem Moment gesagt wurde; ziehen Sie, um zu zoomen.",
    raw: "Rohwerte",
    rawNote: "Jeder Moment, wie er war, ungeglättet.",
    zoom: "Zoom",
    zoomIn: "Näher heran",
    zoomOut: "Weiter weg",
    marks: (names) => `Marken: ${names}.`,
    span: (minutes) => `${minutes} min`,
    whole: "Alles",
    speech: "Sprache",
    usualWaits: "Folgt, sobald bekannt ist, was für diese Stimme üblich ist: nach drei Äußerungen und sechs Sekunden.",
    measured: {
      lip_corner_pull: "Mundwinkel ↑",
      brow_lower: "Brauen ↓",
      jaw_drop: "Mund offen",
      pitch_hz: "Tonhöhe",
      loudness_db: "Lautstärke",
    },
    readout: (time, label, share, said) => `${time}: ${label}, ${share}. Zu diesem Moment allein: ${said}.`,
    pose: {
      straight: "Kopf gerade.",
      turned: (parts) => `Kopf ${parts.join(", ")}.`,
      right: (degrees) => `um ${degrees} nach rechts gedreht (von der Person aus)`,
      left: (degrees) => `um ${degrees} nach links gedreht (von der Person aus)`,
      up: (degrees) => `um ${degrees} gehoben`,
      down: (degrees) => `um ${degrees} gesenkt`,
      tiltRight: (degrees) => `um ${degrees} nach rechts geneigt (von der Person aus)`,
      tiltLeft: (degrees) => `um ${degrees} nach links geneigt (von der Person aus)`,
    },
  },

  replay: {
    title: "Eine gesicherte Sitzung",
    kept: "Sie ist nur in diesem Browser offen; nichts davon wird gesendet.",
    play: "Abspielen",
    pause: "Anhalten",
    place: "Stelle in der Sitzung",
    addVideo: "Video dazu öffnen",
    noVideo: "Mit dem Video sehen Sie das Bild hinter den Rahmen.",
    close: "Sitzung schließen",
  },

  report: {
    heading: "EmoThinker live: Bericht einer Sitzung",
    printed: (when) => `Gedruckt ${when}`,
    model: "Modell",
    length: "Länge",
    speech: "Sprache",
    moments: "Ausgewertete Momente",
    question: "Frage",
    standing: "Momente, die herausragen",
    time: "Zeit",
    answer: "Antwort",
    conflict: "Gesicht und Stimme",
    reason: "Weil",
  },

  said: {
    heading: "Was gesagt wurde",
    none: "Hier wurden keine Worte verstanden.",
    from: (start, end, percent) => `${start} bis ${end}, von einer Spracherkennung mitgeschrieben; zu ${percent} sicher`,
    alone: (label, percent) => `Die Worte allein sagen ${label} (${percent}).`,
    against: {
      face: { low: "", middle: "Das Gesicht sagt etwas anderes, aber nur ein wenig.", high: "Das Gesicht widerspricht ihnen." },
      voice: { low: "", middle: "Die Stimme sagt etwas anderes, aber nur ein wenig.", high: "Die Stimme widerspricht ihnen." },
    },
  },

  history: {
    heading: "Frühere Momente",
    empty: "Jeder ausgewertete Moment steht dann hier.",
    item: (time, label, percent) => `${time}: ${label}, ${percent}`,
    unfinished: "wird geschrieben",
    more: (n) => `${n} frühere zeigen`,
    print: "Bericht",
    saveAs: "Sichern als",
    save: (format) => `Sichern als ${format}`,
    formats: { json: "JSON", csv: "CSV", vtt: "Untertitel" },
  },

  latency: {
    heading: "Verzögerung",
    empty: "Zeiten stehen hier nach der ersten Auswertung.",
    stage: "Schritt",
    last: "Zuletzt",
    median: "Median",
    p95: "95 %",
    unit: "ms",
    about: "Auf dem Server gemessen, über die letzten 200 Momente. „Nach der Pause“: seit Sie zu sprechen aufgehört haben, oder nach vier Sekunden Stille.",
    speed: (tokens) => `${tokens} Tokens Begründung in der Sekunde.`,
    stages: {
      faces: "Gesichter finden",
      vision: "Das Bild lesen",
      cues: "Gesichter messen",
      append: "Ins Modell einlesen",
      see: "Ein Bild insgesamt",
      hear: "Ein Satz insgesamt",
      fast: "Emotionen bewerten",
      label: "Erster Eindruck, nach der Pause",
      first_word: "Erstes Wort, nach der Pause",
      reason: "Gründe schreiben",
      total: "Ganze Antwort, nach der Pause",
    },
  },

  ended: {
    withdrawn: { title: "Einwilligung widerrufen. Die Sitzung ist beendet.", text: "Kamera und Mikrofon sind aus. Der Server hat alles freigegeben." },
    stopped: { title: "Die Sitzung ist beendet.", text: "Kamera und Mikrofon sind aus." },
    closed: { title: "Die Sitzung ist beendet.", text: "Kamera und Mikrofon sind aus." },
    gone: { title: "Der Server ist weg.", text: "Kamera und Mikrofon sind aus. Starten Sie den Server neu und beginnen Sie eine neue Sitzung." },
    reasons: {
      "The server was stopped.": "Der Betreiber hat den Server angehalten.",
      "The session failed.": "Sie ist auf dem Server gescheitert; dessen Protokoll sagt, woran.",
      "The session was ended by its owner.": "Sie wurde von anderswo beendet.",
      "A session lasts # s at most.": "Eine Sitzung dauert höchstens # Minuten.",
      "Nobody has read its events for # s.": "Diese Seite war # Minuten lang weg.",
      "peer left": "Der sendende Browser hat seine Verbindung zum Server geschlossen.",
      "peer lost": "Es kamen weder Bild noch Ton mehr an, deshalb hat der Server die Sitzung freigegeben.",
      "peer lost: nothing came for # s": "# s lang kamen weder Bild noch Ton an, deshalb hat der Server die Sitzung freigegeben.",
      "peer lost: its network path stopped answering": "Der sendende Browser hat auf die Prüfungen der Verbindung nicht mehr geantwortet. Vielleicht war er zu beschäftigt, oder das Netz war unterbrochen.",
      "no media": "Die Verbindung stand, aber es kamen weder Bild noch Ton an.",
    },
    goOn: "Wieder beginnen",
    goOnNote: "„Wieder beginnen“ setzt diese Sitzung fort: Das Geschriebene bleibt.",
    again: "Löschen und neu beginnen",
    print: "Bericht drucken",
    forget: "Alles löschen",
    kept: "Das Geschriebene steht noch auf dieser Seite, und nur hier. Sichern können Sie es weiter unten.",
    keptHere: "Das Geschriebene steht auch noch auf dieser Seite. Sichern können Sie es weiter unten.",
    next: "Neue Sitzung beginnen",
  },

  viewed: {
    ended: "Die Sitzung ist beendet.",
    cut: "Sie verfolgen diese Sitzung nicht mehr.",
    gone: { title: "Der Server antwortet nicht mehr.", text: "Ob die Sitzung weitergeht, ist von hier aus nicht zu sagen." },
    kept: "Was Sie verfolgt haben, steht noch auf dieser Seite. Sichern können Sie es weiter unten.",
    again: "Eine andere Sitzung verfolgen",
  },

  recording: {
    kept: (what, until) => `Wie von Ihnen erlaubt, bewahrt der Server bis zum ${until} verschlüsselt auf, ${what}. Wenn Sie diese Seite verlassen haben, kann es vorher nur löschen, wer den Server betreibt.`,
    delete: "Auf dem Server löschen",
    deleting: "Der Server löscht, was er aufbewahrt hat …",
    deleted: "Was der Server davon aufbewahrt hatte, ist gelöscht.",
    "not deleted": "Der Server hat nicht geantwortet; was er aufbewahrt hat, kann noch da sein.",
  },

  labels: {
    happy: "fröhlich",
    sad: "traurig",
    neutral: "neutral",
    angry: "wütend",
    surprise: "überrascht",
    disgust: "angewidert",
    fear: "ängstlich",
    unsure: "unsicher",
  },

  languageLabel: "Sprache",
};
