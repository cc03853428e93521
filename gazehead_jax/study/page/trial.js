"use strict";
// One pair of clips and its question. No answer before both clips were watched whole.

/** One clip with its button. `changed()` is called whenever its state changes. */
function makeClip(section, source, name, changed) {
  const video = section.querySelector("video");
  const button = section.querySelector("button");
  const mark = section.querySelector(".watched");
  const clip = { plays: 0, watched: false, failed: false, playing: false };

  const show = () => {
    const again = clip.plays > 0 ? " again" : "";
    button.textContent = clip.playing ? "Playing …" : `▶ Play ${name}${again}`;
    button.disabled = clip.playing;
    mark.textContent = clip.failed ? "" : clip.watched ? "✓ watched" : "not watched yet";
    section.classList.toggle("playing", clip.playing);
    changed();
  };
  clip.play = () => {
    if (clip.playing) return;
    if (clip.failed) {
      clip.failed = false;
      video.load();
    }
    video.currentTime = 0;
    clip.playing = true;
    video.play().catch(() => clip.stop());
    show();
  };
  clip.stop = () => {
    if (!clip.playing) return;
    clip.playing = false;
    video.pause();
    video.currentTime = 0;
    show();
  };
  video.addEventListener("ended", () => {
    clip.playing = false;
    clip.plays += 1;
    // A browser's own menu may let one skip ahead: the ranges played tell.
    let seen = 0;
    for (let i = 0; i < video.played.length; i++) {
      seen += video.played.end(i) - video.played.start(i);
    }
    clip.watched ||= seen >= 0.95 * video.duration - 0.05;
    show();
  });
  video.addEventListener("pause", () => {
    if (!video.ended) clip.stop();
  });
  video.addEventListener("ratechange", () => {
    if (video.playbackRate !== 1) video.playbackRate = 1;
  });
  video.addEventListener("contextmenu", (event) => event.preventDefault());
  video.addEventListener("error", () => {
    clip.failed = true;
    clip.playing = false;
    show();
  });
  button.addEventListener("click", clip.play);
  video.src = source;
  show();
  return clip;
}

/**
 * Fills the screen of one trial.
 *
 * @param screen the element that holds it, already filled from its template.
 * @param pair [clip A, clip B].
 * @param answered called with {rating, seconds, plays_a, plays_b}; a positive rating is for B.
 * @returns a function that takes the screen's listeners away.
 */
function runTrial(screen, study, pair, answered) {
  const form = screen.querySelector("form");
  const fieldset = form.querySelector("fieldset");
  const next = form.querySelector("button");
  const hint = form.querySelector("#hint");
  const shownAt = performance.now();
  const clips = [];

  study.grades.forEach(({ value, label }, i) => {
    const choice = document.createElement("label");
    const radio = document.createElement("input");
    Object.assign(radio, { type: "radio", name: "rating", value });
    const text = document.createElement("span");
    text.textContent = label;
    text.title = `key ${i + 1}`;
    choice.append(radio, text);
    form.querySelector(".grades").append(choice);
  });

  const ready = () => clips.length === 2 && clips.every((clip) => clip.watched);
  const update = () => {
    if (clips.length < 2) return;
    fieldset.disabled = !ready();
    next.disabled = !ready() || !form.elements.rating.value;
    const left = ["A", "B"].filter((_, i) => !clips[i].watched);
    if (clips.some((clip) => clip.failed)) {
      hint.textContent = "A clip could not be loaded. Please check your connection and play it again.";
    } else if (!ready()) {
      hint.textContent = `Please watch ${left.join(" and ")} to the end, then answer.`;
    } else {
      hint.textContent = next.disabled ? "Your answer:" : "Your answer (you can still change it):";
    }
  };
  ["a", "b"].forEach((side, i) => {
    const section = screen.querySelector(`[data-clip=${side}]`);
    clips.push(makeClip(section, `clips/${pair[i]}.mp4`, side.toUpperCase(), update));
    // One at a time: two clips at once cannot both be watched.
    section.querySelector("video").addEventListener("play", () => clips[1 - i].stop());
  });
  update();

  const onKey = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const radio = form.querySelectorAll("input")[Number(key) - 1];
    if (key === "a" || key === "b") {
      clips["ab".indexOf(key)].play();
    } else if (radio && !fieldset.disabled) {
      radio.checked = true;
      radio.focus();
      update();
    }
  };
  const onHidden = () => {
    if (document.hidden) clips.forEach((clip) => clip.stop());
  };
  document.addEventListener("keydown", onKey);
  document.addEventListener("visibilitychange", onHidden);
  form.addEventListener("change", update);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (next.disabled) return;
    answered({
      rating: Number(form.elements.rating.value),
      seconds: Math.round((performance.now() - shownAt) / 100) / 10,
      plays_a: clips[0].plays,
      plays_b: clips[1].plays,
    });
  });
  return () => {
    document.removeEventListener("keydown", onKey);
    document.removeEventListener("visibilitychange", onHidden);
  };
}
