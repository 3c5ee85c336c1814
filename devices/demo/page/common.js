"use strict";
// What both parts of the page use: elements, requests, probabilities, the camera, and which part is shown.

const at = (id) => document.getElementById(id);
const show = (id, on) => { at(id).hidden = !on; };
const percent = (p) => `${(100 * p).toFixed(1)} %`;
const duration = (ns) => ns >= 1e9 ? `${(ns / 1e9).toFixed(1)} s` : `${(ns / 1e6).toFixed(ns >= 1e8 ? 0 : ns >= 1e7 ? 1 : 2)} ms`;
const capital = (words) => words[0].toUpperCase() + words.slice(1);
const LIMIT_MIB = 32;
const CAMERA_TROUBLE = {
  NotAllowedError: "The camera was not allowed. Allow it in the browser, and try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera does not start. Another program may be using it.",
  OverconstrainedError: "That camera is not there any more. Choose another one.",
};
let bundle = null;

function make(tag, name, words) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (words !== undefined) element.textContent = words;
  return element;
}

function trouble(words, part = shownPart()) {
  at(`trouble-${part}`).textContent = words;
  show(`trouble-${part}`, Boolean(words));
}

/** Ask the server; a body makes it a POST, and `signal` may end it early. */
async function ask(path, body, signal) {
  const sent = { method: "POST", body, headers: { "Content-Type": "application/octet-stream" }, signal };
  let reply, value;
  try {
    reply = await fetch(path, body === undefined ? {} : sent);
    value = await reply.json();
  } catch {
    throw new Error("The program that serves this page does not answer. Is it still running?");
  }
  if (!reply.ok) throw new Error(capital(value.error));
  return value;
}

async function openCamera(wanted) {
  if (!navigator.mediaDevices)
    throw new Error("A browser gives a page the camera only at the machine's own address (http://127.0.0.1) or over https. Image and video files work here too.");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: false, video: wanted });
  } catch (error) {
    throw new Error(CAMERA_TROUBLE[error.name] || `The camera cannot be used: ${error.message || error.name}.`);
  }
}

function closeCamera(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** Draw probabilities into a list; rows of the same labels in the same order are kept and only their values change. */
function drawProbabilities(list, rows, chosen, floor) {
  const labels = JSON.stringify([rows.map(([label]) => label), floor]);
  if (list.dataset.labels !== labels) {
    list.dataset.labels = labels;
    list.replaceChildren(...rows.map(([label]) => probabilityRow(label, floor)));
  }
  rows.forEach(([label, value], n) => {
    const item = list.children[n];
    item.classList.toggle("chosen", label === chosen);
    item.querySelector(".value").textContent = percent(value);
    item.querySelector(".fill").style.width = `${100 * value}%`;
  });
  list.hidden = rows.length === 0;
}

function probabilityRow(label, floor) {
  const item = make("li"), track = make("div", "track");
  track.setAttribute("aria-hidden", "true");
  track.append(make("div", "fill"));
  if (floor > 0) {
    const mark = make("div", "mark");
    mark.style.left = `${100 * floor}%`;
    track.append(mark);
  }
  item.append(make("span", "name", label), make("span", "value"), track);
  return item;
}

function tableRow(name, value, strong) {
  const row = make("tr", strong ? "strong" : ""), head = make("th", "", name);
  head.scope = "row";
  row.append(head, make("td", "", value));
  return row;
}

/** The two parts of the page; each has `leave`, which ends what it is doing, and `take`, which takes a file. */
const parts = {};

function showPart(name) {
  for (const [other, part] of Object.entries(parts)) {
    const on = other === name;
    if (!on && !at(`panel-${other}`).hidden) part.leave();
    show(`panel-${other}`, on);
    at(`tab-${other}`).setAttribute("aria-selected", String(on));
    at(`tab-${other}`).tabIndex = on ? 0 : -1;
  }
  trouble("");
}

const shownPart = () => Object.keys(parts).find((name) => !at(`panel-${name}`).hidden);

/** Give a file to the part that its type is for; one of an unknown type to the part that is shown. */
function takeFile(file) {
  const kind = /\.(dcm|dicom)$/i.test(file.name) ? "image" : file.type.split("/")[0];
  const name = kind === "image" ? "image" : kind === "video" ? "exam" : shownPart();
  if (name !== shownPart()) showPart(name);
  parts[name].take(file);
}

const firstFile = (transfer) => [...(transfer ? transfer.files : [])][0];

for (const name of ["dragover", "drop", "dragleave"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    for (const stage of document.querySelectorAll(".stage")) stage.classList.toggle("over", name === "dragover");
    if (name !== "drop") return;
    const file = firstFile(event.dataTransfer);
    if (file) takeFile(file); else trouble("Drop an image or a video file.");
  });
}
document.addEventListener("paste", (event) => {
  const file = firstFile(event.clipboardData);
  if (file) takeFile(file);
});
at("tabs").addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) showPart(tab.id.slice("tab-".length));
});
at("tabs").addEventListener("keydown", (event) => {
  const names = Object.keys(parts), last = names.length - 1, now = names.indexOf(shownPart());
  const next = { ArrowRight: now === last ? 0 : now + 1, ArrowLeft: now === 0 ? last : now - 1, Home: 0, End: last }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  showPart(names[next]);
  at(`tab-${names[next]}`).focus();
});

const ready = ask("/api/bundle").then((found) => {
  bundle = found;
  document.title = `${found.name}: weckd-edge demo`;
  at("name").textContent = found.name;
  at("about").textContent = `${found.labels.length} classes, ${found.precision} on ${found.backend}${found.by_device ? ", chosen on this device" : ""}, built for ${found.device}`;
  const verdict = at("verdict");
  verdict.classList.add(found.verdict.kind);
  verdict.querySelector("b").textContent = found.verdict.title;
  verdict.querySelector("span").textContent = found.verdict.detail;
  verdict.hidden = false;
  at("notice").textContent = found.notice;
  at("synthetic").textContent = found.synthetic || "";
  show("synthetic", Boolean(found.synthetic));
});
ready.catch((error) => { at("name").textContent = "The bundle could not be shown"; trouble(error.message); });
