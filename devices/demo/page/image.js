"use strict";
// One image: dropped, chosen, pasted, or taken with the camera.

let image = null, turn = 0, stream = null, seen = null, overlay = null;

function busy(words) {
  at("busy-words").textContent = words;
  show("busy", Boolean(words));
}

function picture(url, words) {
  const img = at("picture");
  if (url) { img.src = url; img.alt = words; } else img.removeAttribute("src");
  show("picture", Boolean(url));
  show("invite", !url && !stream);
  at("stage").classList.toggle("filled", Boolean(url) || Boolean(stream));
}

async function classify(blob) {
  const mine = ++turn;
  stopCamera();
  trouble("", "image");
  if (blob.size > LIMIT_MIB * 2 ** 20) {
    trouble(`The file has ${(blob.size / 2 ** 20).toFixed(1)} MiB; the limit is ${LIMIT_MIB} MiB.`, "image");
    return;
  }
  image = blob; seen = overlay = null;
  show("views", false); show("explained", false);
  busy("Asking the model");
  try {
    const found = await ask("/api/predict", blob);
    if (mine !== turn) return;
    seen = found.seen;
    picture(seen, "The image, as the model sees it");
    showPrediction(found);
  } catch (error) {
    if (mine !== turn) return;
    image = null;
    picture(null);
    show("prediction", false); show("nothing", true);
    trouble(error.message, "image");
  } finally {
    if (mine === turn) busy("");
  }
}

function showPrediction({ prediction, stages }) {
  const sure = prediction.reason === null;
  const words = sure ? prediction.decision : capital(prediction.decision);
  at("decision").textContent = words;
  at("decision").classList.toggle("none", !sure);
  const notes = prediction.notes.map((note) => ` Note: ${note.text}.`).join("");
  const why = sure ? `Probability ${percent(prediction.probabilities[prediction.label])}${notes && "."}` : `Because: ${prediction.reason}.`;
  at("why").textContent = why + notes;
  const rows = Object.entries(prediction.probabilities).sort((a, b) => b[1] - a[1]);
  const floor = bundle ? bundle.confidence_threshold : 0;
  drawProbabilities(at("bars"), rows, sure ? prediction.label : null, floor);
  at("needs").querySelector("span").textContent = `A decision needs ${percent(floor)}.`;
  show("needs", rows.length > 0 && floor > 0);
  const lines = stages.map(({ name, ns }, n) => tableRow(name, duration(ns), n === stages.length - 1));
  at("times").tBodies[0].replaceChildren(...lines);
  show("times", stages.length > 0);
  show("nothing", false); show("prediction", true);
  show("views", prediction.label !== null);
  press(false);
  at("status").textContent = `Decision: ${words}. ${at("why").textContent}`;
}

function press(onOverlay) {
  at("view-seen").setAttribute("aria-pressed", String(!onOverlay));
  at("view-overlay").setAttribute("aria-pressed", String(onOverlay));
  show("explained", onOverlay && overlay !== null);
}

async function explain() {
  if (!image) return;
  const mine = turn;
  trouble("", "image");
  if (overlay === null) {
    busy("Covering one part after another");
    at("status").textContent = "Working out where the model looks";
    try {
      const found = await ask("/api/explain", image);
      if (mine !== turn) return;
      overlay = found;
      at("sanity").textContent = found.sanity;
      at("sanity").classList.toggle("weak", found.deletion.maps_beaten < 0.8 * found.deletion.maps_by_chance || !found.marked);
      at("method").textContent = `Found by ${found.method}; ${duration(found.ns)} in all.`;
      at("status").textContent = `Map of the evidence for ${found.label}. ${found.sanity}`;
    } catch (error) {
      if (mine === turn) trouble(error.message, "image");
      return;
    } finally {
      if (mine === turn) busy("");
    }
  }
  picture(overlay.overlay, `The image in grey; coloured and outlined is what speaks most for ${overlay.label}`);
  press(true);
}

function stopCamera() {
  if (stream) closeCamera(stream);
  stream = null;
  at("video").srcObject = null;
  for (const id of ["video", "take", "stop"]) show(id, false);
  show("camera", true); show("choose", true);
}

async function startCamera() {
  trouble("", "image");
  let opened;
  try {
    opened = await openCamera({ width: { ideal: 1280 }, facingMode: "environment" });
  } catch (error) {
    trouble(error.message, "image");
    return;
  }
  if (shownPart() !== "image") { closeCamera(opened); return; }
  stream = opened;
  turn += 1;
  busy("");
  picture(null);
  show("views", false); show("explained", false);
  show("prediction", false); show("nothing", true);
  at("video").srcObject = stream;
  for (const id of ["video", "take", "stop"]) show(id, true);
  show("camera", false); show("choose", false);
  stream.getVideoTracks()[0].addEventListener("ended", () => {
    if (stream !== opened) return;
    leaveCamera();
    trouble("The camera was disconnected.", "image");
  });
  at("take").focus();
}

function takePicture() {
  const video = at("video");
  if (!video.videoWidth) return;
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  canvas.toBlob((blob) => { if (blob) classify(blob); }, "image/png");
  at("camera").hidden = false;
  at("camera").focus();
}

/** Stop the camera, and show the last image and its prediction again, if there is one. */
function leaveCamera() {
  stopCamera();
  picture(seen, "The image, as the model sees it");
  for (const id of ["views", "prediction"]) show(id, Boolean(seen));
  show("nothing", !seen);
  press(false);
}

at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) takeFile(file);
  event.target.value = "";
});
at("choose").addEventListener("click", () => at("file").click());
at("camera").addEventListener("click", startCamera);
at("take").addEventListener("click", takePicture);
at("stop").addEventListener("click", () => { leaveCamera(); at("camera").focus(); });
at("view-seen").addEventListener("click", () => { picture(seen, "The image, as the model sees it"); press(false); });
at("view-overlay").addEventListener("click", explain);

parts.image = { take: classify, leave: () => { if (stream) leaveCamera(); } };
