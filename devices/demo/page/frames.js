"use strict";
// Frames of a <video>, one at a time: which are new, and what they hold.

/** Calls `work` with the time, in seconds, of each frame that a video shows, and counts them. */
class FrameClock {
  constructor(video, work) {
    this.video = video;
    this.work = work;
    this.shown = 0;
    this.last = null;
    this.handle = 0;
  }

  start() { this.wait(); }

  stop() {
    if (this.video.requestVideoFrameCallback) this.video.cancelVideoFrameCallback(this.handle);
    else cancelAnimationFrame(this.handle);
    this.handle = 0;
  }

  wait() {
    if (this.video.requestVideoFrameCallback) {
      this.handle = this.video.requestVideoFrameCallback((now, { presentedFrames, mediaTime }) => {
        this.count(this.last === null ? 1 : presentedFrames - this.last, presentedFrames, mediaTime);
      });
    } else { // a browser without it: the clock of a new frame differs from the last one's
      this.handle = requestAnimationFrame(() => {
        const time = this.video.currentTime;
        if (this.video.readyState >= 2 && time !== this.last) this.count(1, time, time); else this.wait();
      });
    }
  }

  count(more, last, time) {
    this.shown += more;
    this.last = last;
    this.wait();
    this.work(time);
  }
}

/** The pixels of a video's frame, by way of a canvas that keeps it. */
class FrameReader {
  constructor(video, canvas) {
    this.video = video;
    this.canvas = canvas;
    this.pen = canvas.getContext("2d", { willReadFrequently: true });
  }

  /** Refuse a browser that changes the pixels that a page reads: a model would see what no camera took. */
  check() {
    const side = this.canvas.width = this.canvas.height = 16;
    const wanted = Uint8ClampedArray.from({ length: 4 * side * side }, (_, n) => n % 4 === 3 ? 255 : n * 37 % 256);
    this.pen.putImageData(new ImageData(wanted, side, side), 0, 0);
    const found = this.pen.getImageData(0, 0, side, side).data;
    if (found.some((value, n) => value !== wanted[n]))
      throw new Error("This browser changes the pixels that a page reads, against fingerprinting. Allow this page to read them, or use another browser.");
  }

  /** Return width, height and the bytes of red, green, blue and opacity of the frame that is shown now. */
  read() {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (width * height * 4 > LIMIT_MIB * 2 ** 20)
      throw new Error(`Frames of ${width} x ${height} pixels are too large: one may have ${LIMIT_MIB} MiB at 4 bytes a pixel.`);
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    this.pen.drawImage(this.video, 0, 0);
    return { width, height, pixels: this.pen.getImageData(0, 0, width, height).data };
  }
}
