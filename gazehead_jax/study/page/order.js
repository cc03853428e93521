"use strict";
// What a participant sees, and in which order. The study's seed and the participant's id
// say it all: the same two give the same pairs, sides and order on any device.

/** A 32-bit number of a text (FNV-1a). */
function hashText(text) {
  let hash = 0x811c9dc5;
  for (const unit of text) {
    hash = Math.imul(hash ^ unit.codePointAt(0), 0x01000193);
  }
  return hash;
}

/** A function that draws a whole number from 0 to n - 1 (splitmix32). */
function makeDraw(text) {
  let state = hashText(text);
  return (n) => {
    state = (state + 0x9e3779b9) | 0;
    let x = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    x ^= x >>> 15;
    return Math.floor(((x >>> 0) / 2 ** 32) * n);
  };
}

function shuffled(list, draw) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = draw(i + 1);
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

/**
 * The trials of one participant: [clip A, clip B] each.
 *
 * Of each group (two conditions) a participant sees `perGroup` pairs, each condition as
 * often on the left as on the right (within one). The groups take turns in random order.
 * Attention checks stand one in each equal part of the session, never first.
 */
function makeTrials(study, participant) {
  const draw = makeDraw(`${study.id}/${study.seed}/${participant}`);
  const swap = (pair, swapped) => (swapped ? [pair[1], pair[0]] : pair);
  const groups = study.groups.map((group) => {
    const extra = draw(2);
    const sides = shuffled([...Array(study.perGroup).keys()], draw);
    return shuffled(group, draw)
      .slice(0, study.perGroup)
      .map((pair, i) => swap(pair, (sides[i] + extra) % 2));
  });
  const trials = [];
  for (let i = 0; i < study.perGroup; i++) {
    trials.push(...shuffled(groups.map((group) => group[i]), draw));
  }
  const count = trials.length;
  const checks = shuffled(study.checks, draw).map((pair) => swap(pair, draw(2)));
  for (let k = checks.length - 1; k >= 0; k--) {
    const from = Math.floor((count * k) / checks.length);
    const to = Math.floor((count * (k + 1)) / checks.length);
    trials.splice(from + 1 + draw(Math.max(1, to - from)), 0, checks[k]);
  }
  return trials;
}
