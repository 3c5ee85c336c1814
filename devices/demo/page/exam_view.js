"use strict";
// What the page shows of the examination that is under way, or of the last one.

const VERDICT_MS = 400;   // the words on a frame stay so long, as nobody reads thirty a second
const SETTLED_MS = 1500;  // what is read aloud has held for so long
const NO_FRAME = { decision: "unable to analyze", reason: "no frame counts yet", probabilities: {}, label: null };
const USES = {
  counted: "This frame counts.",
  repeated: "Nearly the last frame that counts, over again: it does not count twice.",
};
const SHOWN = { // what is to be seen in each state
  idle: ["exam-invite", "exam-start", "exam-choose"],
  opening: ["exam-busy", "exam-start", "exam-choose"],
  running: ["exam-video", "exam-stop"],
  ended: ["exam-still", "exam-again", "exam-start", "exam-choose"],
};

const sentence = (words) => `${capital(words)}${/[.?]$/.test(words) ? "" : "."}`;
/** Return the words of a refusal before its numbers. */
const inShort = (reason) => reason.split(":")[0];

class ExamView {
  constructor() {
    this.lines = new TimeLine(at("exam-lines"));
    this.floor = 0;
  }

  /** Show what belongs to a state; the focus moves on where its button goes. */
  state(name) {
    const focused = at("exam-buttons").contains(document.activeElement);
    for (const id of new Set(Object.values(SHOWN).flat())) show(id, SHOWN[name].includes(id));
    at("exam-stage").classList.toggle("filled", name === "running" || name === "ended");
    show("exam-seen", name === "running" || name === "ended");
    show("frame-verdict", name === "running");
    at("exam-start").classList.toggle("main", name !== "ended");
    if (focused && name === "running") at("exam-stop").focus();
    if (focused && name === "ended") at("exam-again").focus();
    if (focused && name === "idle") at("exam-start").focus();
  }

  opening(words) {
    at("exam-busy-words").textContent = words;
    show("exam-nothing", true);
    show("exam-prediction", false); show("exam-lines", false);
    this.state("opening");
  }

  begin(seconds, floor) {
    this.floor = floor;
    this.lines.begin(seconds);
    this.verdictAt = 0;
    this.holds = { words: "", since: 0, spoken: "" };
    at("frame-verdict").className = "frame-verdict";
    at("frame-verdict").textContent = "Waiting for the first frame.";
    at("exam-kicker").textContent = "So far";
    at("exam-end").textContent = "";
    this.decision(NO_FRAME);
    this.table([]);
    show("exam-nothing", false);
    show("exam-prediction", true); show("exam-lines", true);
    this.state("running");
    if (matchMedia("(max-width: 780px)").matches) at("exam-stage").scrollIntoView(); // so that the decision is in sight too
    at("status").textContent = "The examination has begun.";
  }

  frame(frame, time, decision, rows) {
    this.lines.add(frame.use, time);
    this.decision(decision);
    const now = performance.now();
    if (now - this.verdictAt >= VERDICT_MS) {
      this.verdictAt = now;
      at("frame-verdict").className = `frame-verdict ${frame.use}`;
      at("frame-verdict").textContent = frame.use === "refused" ? sentence(`Refused: ${frame.reason}`) : USES[frame.use];
      this.table(rows);
    }
    const frames = frame.use === "refused" ? `Frames are refused: ${inShort(frame.reason)}.` : "Frames are taken.";
    this.speak(`So far: ${decision.decision}. ${frames}`, now);
  }

  /** Read aloud how it stands, once that has held for a while and only where it is news. */
  speak(words, now) {
    const holds = this.holds;
    if (words !== holds.words) { holds.words = words; holds.since = now; }
    if (words === holds.spoken || now - holds.since < SETTLED_MS) return;
    holds.spoken = words;
    at("status").textContent = words;
  }

  decision(found) {
    const sure = found.reason === null;
    at("exam-decision").textContent = sure ? found.decision : capital(found.decision);
    at("exam-decision").classList.toggle("none", !sure);
    at("exam-why").textContent = sure ? `Probability ${percent(found.probabilities[found.label])}` : sentence(`Because: ${found.reason}`);
    drawProbabilities(at("exam-bars"), Object.entries(found.probabilities), sure ? found.label : null, this.floor);
    at("exam-needs").querySelector("span").textContent = `A decision needs ${percent(this.floor)}.`;
    show("exam-needs", found.label !== null && this.floor > 0);
  }

  table(rows) {
    at("exam-frames").tBodies[0].replaceChildren(...rows.map(([name, value]) => tableRow(name, value, false)));
    show("exam-frames", rows.length > 0);
  }

  end(decision, rows, words, hasPicture) {
    this.decision(decision);
    this.table(rows);
    at("exam-kicker").textContent = "Decision";
    at("exam-end").textContent = words;
    this.state("ended");
    if (!hasPicture) {
      for (const id of ["exam-still", "exam-seen"]) show(id, false);
      show("exam-invite", true);
      at("exam-stage").classList.remove("filled");
    }
    at("status").textContent = `Examination ended. Decision: ${decision.decision}. ${at("exam-why").textContent} ${words}`;
  }

  /** Mark the part of the picture that the model sees: of the frame's proportions, and of that the crop. */
  placeSeen(width, height) {
    const [rows, columns] = bundle.frame, [top, left, high, wide] = bundle.crop;
    const part = Math.min(width / columns, height / rows);       // pixels of the picture to one of the frame
    const across = 4 * Math.max(width / 4, height / 3), down = across * 3 / 4; // pixels of the picture that fill the stage
    const style = at("exam-seen").style;
    style.left = `${50 + 100 * part * (left - columns / 2) / across}%`;
    style.top = `${50 + 100 * part * (top - rows / 2) / down}%`;
    style.width = `${100 * part * wide / across}%`;
    style.height = `${100 * part * high / down}%`;
  }
}
