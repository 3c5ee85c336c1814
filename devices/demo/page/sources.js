"use strict";
// What gives an examination its frames: a camera or a video file, either of which is played by a <video>.

const VIDEO_ADVICE = "Save it as MP4 (H.264) or WebM, or give it to weckd-edge predict, which reads more formats.";

/** The camera as a source of frames. */
class CameraSource {
  constructor(device) {
    this.device = device;
    this.isClosed = false;
  }

  get again() { return new CameraSource(this.device); }
  get words() { return "Opening the camera"; }

  async open(video, { lost }) {
    const [height, width] = bundle.frame; // the nearest of the camera's own sizes, so that the front end alone resizes
    const which = this.device ? { deviceId: { exact: this.device } } : { facingMode: "environment" };
    const stream = await openCamera({ width: { ideal: width }, height: { ideal: height }, resizeMode: { exact: "none" }, ...which });
    if (this.isClosed) {
      closeCamera(stream);
      return;
    }
    this.stream = stream;
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", () => lost("The camera was disconnected."));
    video.srcObject = stream;
    await listCameras(track.getSettings().deviceId);
  }

  /** Return the seconds since the examination began. */
  time(mediaTime, beganAt) { return (performance.now() - beganAt) / 1000; }

  pause() {} // a camera goes on

  close(video) {
    this.isClosed = true;
    if (!this.stream) return;
    closeCamera(this.stream);
    video.srcObject = null;
  }
}

/** A video file as a source of frames. */
class FileSource {
  constructor(file) {
    this.file = file;
    this.events = new AbortController();
  }

  get again() { return new FileSource(this.file); }
  get words() { return "Opening the video"; }

  open(video, { lost, ended }) {
    this.url = URL.createObjectURL(this.file);
    const once = { once: true, signal: this.events.signal };
    return new Promise((resolve, reject) => {
      video.addEventListener("loadedmetadata", () => {
        if (video.videoWidth) resolve();
        else reject(new Error(`${this.file.name} holds no picture that this browser can play. ${VIDEO_ADVICE}`));
      }, once);
      video.addEventListener("error", () => {
        reject(new Error(`This browser cannot play ${this.file.name}. ${VIDEO_ADVICE}`));
        lost(`${this.file.name} cannot be played any further: it is damaged.`);
      }, once);
      video.addEventListener("ended", ended, once);
      video.src = this.url;
    });
  }

  /** Return the seconds since the video's beginning. */
  time(mediaTime) { return mediaTime; }

  pause(video, hidden) {
    if (hidden) video.pause(); else video.play().catch(() => {});
  }

  close(video) {
    this.events.abort();
    if (!this.url) return;
    video.removeAttribute("src");
    video.load();
    URL.revokeObjectURL(this.url);
  }
}

/** Offer the cameras where there are several, each under a name of its own. */
async function listCameras(chosen) {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind, deviceId }) => kind === "videoinput" && deviceId);
  const names = found.map(({ label }, n) => label || `Camera ${n + 1}`);
  const labels = names.map((name, n) => names.indexOf(name) === names.lastIndexOf(name) ? name
    : `${name} (${names.slice(0, n + 1).filter((other) => other === name).length})`);
  const wanted = chosen || at("exam-cameras").value;
  at("exam-cameras").replaceChildren(...found.map(({ deviceId }, n) => new Option(labels[n], deviceId, false, deviceId === wanted)));
  show("exam-which", found.length > 1);
}
