"use strict";
// The screens and the way through them: consent, instructions, trials, done.

let cleanUp = () => {};

/** Puts a template on the screen; texts come from `words`, never as markup. */
function show(name, words = {}) {
  cleanUp();
  cleanUp = () => {};
  const main = document.getElementById("main");
  main.replaceChildren(document.getElementById(name).content.cloneNode(true));
  main.className = name;
  for (const element of main.querySelectorAll("[data-text]")) {
    element.textContent = words[element.dataset.text];
  }
  for (const element of main.querySelectorAll("[data-paragraphs]")) {
    for (const text of words[element.dataset.paragraphs]) {
      const paragraph = document.createElement("p");
      paragraph.textContent = text;
      element.append(paragraph);
    }
  }
  // A keyboard starts, and a screen reader reads on, at the new screen's top.
  const heading = main.querySelector("h1");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  scrollTo(0, 0);
  return main;
}

function start(study) {
  document.title = study.title;
  const participant = participantId(study);
  const trials = makeTrials(study, participant);
  let session = loadSession(study, participant, trials);

  const consent = () => {
    const screen = show("consent", study);
    screen.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      session = { participant, started: new Date().toISOString(), finished: "", answers: [] };
      saveSession(study, session);
      instructions();
    });
    screen.querySelector("#decline").addEventListener("click", leave);
  };
  const leave = () => {
    forget(study, participant);
    show("left");
  };
  const instructions = () => {
    const words = { count: trials.length, question: study.question, grades: study.grades.length };
    const button = show("instructions", words).querySelector("#begin");
    const done = session.answers.length;
    button.textContent = done ? `Go on with pair ${done + 1} of ${trials.length}` : "Begin";
    button.addEventListener("click", nextTrial);
  };
  const nextTrial = () => {
    const i = session.answers.length;
    if (i >= trials.length) {
      session.finished ||= new Date().toISOString();
      saveSession(study, session);
      done();
      return;
    }
    const screen = show("trial", study);
    screen.querySelector("progress").max = trials.length;
    screen.querySelector("progress").value = i;
    screen.querySelector(".progress label").textContent = `Pair ${i + 1} of ${trials.length}`;
    screen.querySelector("#leave").addEventListener("click", () => {
      if (confirm("Leave the study? Your answers will be deleted from this device.")) leave();
    });
    const [a, b] = trials[i];
    cleanUp = runTrial(screen, study, [a, b], (answer) => {
      session.answers.push({ trial: i + 1, a, b, ...answer });
      saveSession(study, session);
      nextTrial();
    });
  };
  const done = () => {
    const screen = show("done", { ...study, participant });
    for (const kind of ["json", "csv"]) {
      screen.querySelector(`#${kind}`).addEventListener("click", () => {
        const name = resultName(study, session, kind);
        download(name, resultText(study, session, kind));
        screen.querySelector("#saved").textContent = `Saved as ${name}, in your downloads.`;
      });
    }
    screen.querySelector("#again").addEventListener("click", () => {
      if (confirm("Delete your answers from this device? Save and send them first.")) leave();
    });
  };

  if (!session) consent();
  else if (session.finished) done();
  else instructions();
}

try {
  start(STUDY);
} catch (error) {
  show("problem", { problem: error.message });
}
