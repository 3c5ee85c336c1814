"use strict";
// An examination: frames go to the model until it has seen enough, they end, or somebody stops it.

const QUIET_MS = 10_000;  // without a new frame for so long, it ends
const REPLY_MS = 30_000;  // the longest that the reply to a frame may take

const view = new ExamView();
let current = null;

/** One examination, from its first frame to its decision. */
class Examination {
  constructor(source) {
    this.source = source;
    this.video = at("exam-video");
    this.reader = new FrameReader(this.video, at("exam-still"));
    this.clock = new FrameClock(this.video, (time) => this.see(time));
    this.events = new AbortController();
    this.isOver = this.waiting = this.noMore = false;
    this.sending = null;
    this.taken = 0;
    this.refused = new Map();
  }

  async begin() {
    await ready;
    this.reader.check();
    if (!this.isOver) await this.source.open(this.video, {
      lost: (words) => this.finish("", words),
      ended: () => { this.noMore = true; this.goOn(); },
    });
    if (this.isOver) return;
    const begun = await this.ask("begin", {}, "");
    this.name = begun.exam;
    if (this.isOver) { this.forget(); return; }
    view.begin(this.video.duration, begun.confidence_threshold);
    document.addEventListener("visibilitychange", () => this.pause(document.hidden), { signal: this.events.signal });
    this.watch = setInterval(() => this.check(), 1000);
    this.beganAt = this.frameAt = performance.now();
    this.clock.start();
    await this.video.play();
  }

  ask(what, query, body) {
    return ask(`/api/exam/${what}?${new URLSearchParams(query)}`, body, AbortSignal.timeout(REPLY_MS));
  }

  /** Take note of a new frame: it is sent at once, or after the reply to the last one unless a newer frame has come. */
  see(time) {
    if (this.isOver) return;
    this.frameAt = performance.now();
    this.time = this.source.time(time, this.beganAt);
    this.waiting = true;
    this.goOn();
  }

  /** Send the frame that waits, or end where no more comes. */
  goOn() {
    if (this.isOver || this.sending) return;
    if (this.waiting) this.sending = this.send();
    else if (this.noMore) this.finish("The video has ended.");
  }

  async send() {
    this.waiting = false;
    const time = this.time;
    try {
      const { width, height, pixels } = this.reader.read();
      const found = await this.ask("frame", { exam: this.name, number: this.taken + 1, width, height }, pixels);
      if (current === this) this.took(found, time);
    } catch (error) {
      this.finish("", error.message);
    }
    this.sending = null;
    this.goOn();
  }

  took({ frame, decision }, time) {
    this.taken += 1;
    if (frame.use === "refused") {
      const words = inShort(frame.reason);
      this.refused.set(words, (this.refused.get(words) || 0) + 1);
    }
    view.frame(frame, time, decision, this.rows());
    if (decision.has_seen_enough) this.finish("It has seen enough: no further frame is needed.");
  }

  rows() {
    const seconds = ((this.endedAt || performance.now()) - this.beganAt) / 1000;
    const leftOut = Math.max(0, this.clock.shown - this.taken - (this.waiting ? 1 : 0));
    return [
      ["Looked at", `${this.taken}, ${(this.taken / seconds).toFixed(1)} a second`],
      ...[...this.refused].map(([words, count]) => [`Refused: ${words}`, String(count)]),
      ["Left out, as newer ones came", String(leftOut)],
    ];
  }

  pause(hidden) {
    this.frameAt = performance.now();
    this.source.pause(this.video, hidden);
  }

  check() {
    if (document.hidden || this.sending || performance.now() - this.frameAt < QUIET_MS) return;
    this.finish("", `No frame came for ${QUIET_MS / 1000} seconds.`);
  }

  /** Take no more frames, and free the camera or the file. */
  halt() {
    this.isOver = true;
    this.endedAt = performance.now();
    this.clock.stop();
    clearInterval(this.watch);
    this.events.abort();
    this.source.close(this.video);
  }

  /** End without a decision. */
  dismiss() {
    if (!this.isOver) this.halt();
    this.forget();
  }

  forget() {
    if (this.name) this.ask("end", { exam: this.name }, "").catch(() => {});
    this.name = null;
  }

  /** End with the decision on what was seen; `problem` says what ended it early. */
  async finish(words, problem = "") {
    if (this.isOver) return;
    this.halt();
    if (!this.name) return; // it has not begun: whoever began it says why
    await this.sending;
    if (!this.name) return;
    const name = this.name;
    this.name = null;
    let decision = { ...NO_FRAME, reason: "the examination was lost before its end" };
    try {
      ({ decision } = await this.ask("end", { exam: name }, ""));
    } catch (error) {
      problem = problem || error.message;
    }
    if (current !== this) return;
    view.end(decision, this.rows(), words, this.taken > 0);
    trouble(problem, "exam");
  }
}

async function examine(source) {
  leaveExam();
  const mine = current = new Examination(source);
  trouble("", "exam");
  view.opening(source.words);
  try {
    await mine.begin();
  } catch (error) {
    if (current !== mine) return;
    if (mine.beganAt) { mine.finish("", error.message); return; }
    mine.dismiss();
    view.state("idle");
    trouble(error.message, "exam");
  }
}

/** End an examination that is under way, without a decision. */
function leaveExam() {
  if (!current || current.endedAt) return;
  current.dismiss();
  current = null;
  view.state("idle");
}

at("exam-start").addEventListener("click", () => examine(new CameraSource(at("exam-cameras").value)));
at("exam-again").addEventListener("click", () => examine(current.source.again));
at("exam-stop").addEventListener("click", () => current.finish("It was stopped."));
at("exam-choose").addEventListener("click", () => at("exam-file").click());
at("exam-file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) takeFile(file);
  event.target.value = "";
});
at("exam-cameras").addEventListener("change", (event) => {
  if (current && !current.endedAt && current.source instanceof CameraSource) examine(new CameraSource(event.target.value));
});
for (const name of ["loadedmetadata", "resize"])
  at("exam-video").addEventListener(name, ({ target }) => { if (target.videoWidth) view.placeSeen(target.videoWidth, target.videoHeight); });
if (navigator.mediaDevices) {
  listCameras();
  navigator.mediaDevices.addEventListener("devicechange", () => listCameras());
}
addEventListener("pagehide", () => { if (current && current.name) navigator.sendBeacon(`/api/exam/end?exam=${current.name}`); });

parts.exam = { take: (file) => examine(new FileSource(file)), leave: leaveExam };
