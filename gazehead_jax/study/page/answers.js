"use strict";
// The participant's answers: kept on the device until saved as a file, sent nowhere.

const ID_RULE = /^[A-Za-z0-9_-]{1,64}$/;
const COLUMNS = ["trial", "a", "b", "rating", "seconds", "plays_a", "plays_b"];

/** localStorage, or a stand-in where the browser allows none. */
const device = (() => {
  try {
    localStorage.setItem("gazehead-study", "");
    localStorage.removeItem("gazehead-study");
    return localStorage;
  } catch {
    const kept = new Map();
    return {
      getItem: (key) => kept.get(key) ?? null,
      setItem: (key, value) => kept.set(key, value),
      removeItem: (key) => kept.delete(key),
    };
  }
})();

/** The id in the page's address, or one drawn once for this device. */
function participantId(study) {
  const asked = new URLSearchParams(location.search);
  const given = asked.get("participant") ?? asked.get("PROLIFIC_PID");
  if (given !== null) {
    if (!ID_RULE.test(given)) {
      throw new Error(
        "The participant number in this page's address must be 1 to 64 letters, digits, " +
          `hyphens or underscores. Please ask ${study.contact} for another link.`,
      );
    }
    return given;
  }
  const key = `gazehead-study/${study.id}`;
  let drawn = device.getItem(key);
  if (!drawn) {
    const letters = "abcdefghjkmnpqrstuvwxyz23456789";
    const numbers = crypto.getRandomValues(new Uint32Array(10));
    drawn = [...numbers].map((x) => letters[x % letters.length]).join("");
    device.setItem(key, drawn);
  }
  return drawn;
}

const storeKey = (study, participant) => `gazehead-study/${study.id}/${participant}`;

/** What was kept, or null; anything that does not fit the trials counts as nothing. */
function loadSession(study, participant, trials) {
  try {
    const kept = JSON.parse(device.getItem(storeKey(study, participant)));
    const fits = kept.answers.every(
      (answer, i) => answer.a === trials[i][0] && answer.b === trials[i][1],
    );
    return fits ? kept : null;
  } catch {
    return null;
  }
}

function saveSession(study, session) {
  device.setItem(storeKey(study, session.participant), JSON.stringify(session));
}

function forget(study, participant) {
  device.removeItem(storeKey(study, participant));
  device.removeItem(`gazehead-study/${study.id}`);
}

/** One participant's results as text, for a .json or .csv file. */
function resultText(study, session, kind) {
  const { participant, started, finished, answers } = session;
  const about = { study: study.id, participant, started, finished };
  if (kind === "json") {
    const head = { format: "gazehead study result", version: 1 };
    return JSON.stringify({ ...head, ...about, answers }, null, 1) + "\n";
  }
  const rows = answers.map((answer) => [
    ...Object.values(about),
    ...COLUMNS.map((column) => answer[column]),
  ]);
  const lines = [[...Object.keys(about), ...COLUMNS], ...rows];
  return lines.map((line) => line.join(",")).join("\r\n") + "\r\n";
}

const resultName = (study, session, kind) =>
  `answers-${study.id}-${session.participant}.${kind}`;

/** Hands a file to the browser to save. */
function download(name, text) {
  const type = name.endsWith(".json") ? "application/json" : "text/csv";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
