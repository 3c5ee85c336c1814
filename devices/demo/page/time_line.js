"use strict";
// What became of an examination's frames, along time.

/** Three lanes along time: frames that count, that repeat another, that are refused. It holds as much for an hour as for a second. */
class TimeLine {
  static LANES = ["counted", "repeated", "refused"];
  static STEPS = 240;

  constructor(root) {
    this.lanes = TimeLine.LANES.map((use) => root.querySelector(`.lane.${use}`));
    this.end = root.querySelector(".axis .end");
    this.begin();
  }

  /** Start again, for `seconds` or, where nobody knows how long it takes, for ten at first. */
  begin(seconds) {
    this.span = seconds > 0 && seconds < Infinity ? seconds : 10;
    this.marks = TimeLine.LANES.map(() => new Uint8Array(TimeLine.STEPS));
    this.counts = TimeLine.LANES.map(() => 0);
    this.draw();
  }

  add(use, time) {
    const lane = TimeLine.LANES.indexOf(use);
    while (time > this.span) this.halve();
    this.marks[lane][Math.min(TimeLine.STEPS - 1, Math.floor(time / this.span * TimeLine.STEPS))] = 1;
    this.counts[lane] += 1;
    this.draw();
  }

  /** Show twice as long a time: two steps become one. */
  halve() {
    this.span *= 2;
    for (const marks of this.marks) {
      for (let n = 0; n < TimeLine.STEPS / 2; n += 1) marks[n] = marks[2 * n] | marks[2 * n + 1];
      marks.fill(0, TimeLine.STEPS / 2);
    }
  }

  draw() {
    this.lanes.forEach((lane, n) => {
      const path = [...this.marks[n]].map((on, step) => on ? `M${step} 0h1v10h-1z` : "").join("");
      lane.querySelector("path").setAttribute("d", path);
      lane.querySelector("b").textContent = String(this.counts[n]);
    });
    this.end.textContent = `${Number(this.span.toFixed(1))} s`;
  }
}
