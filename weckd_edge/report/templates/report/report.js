
"use strict";
// The threshold, the matrix and the list of test images, all computed from the predictions in the page.
(() => {
  const data = JSON.parse(document.getElementById("predictions").textContent);
  const { labels, truth, decided, fp32, teacher, member, groups, scale, below, probabilities } = data;
  const images = truth.length;
  const classes = labels.length;
  const at = (id) => document.getElementById(id);
  const best = decided.map((label, i) => probabilities[i * classes + label]);
  const undecided = new Set(data.undecided);
  const refused = new Set(data.refused);
  const sureness = best.map((p, i) => (refused.has(decided[i]) ? -1 : p)); // A non-gradeable class is under every threshold.
  const given = (i) => (undecided.has(i) ? classes : decided[i]);
  const percent = (share) => `${(share * 100).toFixed(1)}\u00a0%`;
  for (const part of document.querySelectorAll("[data-script]")) part.hidden = false;

  // Wilson's interval on the effective number of images, as weckd_edge/metrics/intervals.py has it.
  const Z = 1.959963984540054;
  const student = (freedom) => {
    const z = Z;
    const terms = [
      (z ** 3 + z) / 4,
      (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
      (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
      (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92160,
    ];
    return terms.reduce((sum, term, i) => sum + term / freedom ** (i + 1), z);
  };
  const wilson = (right, trials) => {
    const share = right / trials;
    const centre = share + (Z * Z) / (2 * trials);
    const half = Z * Math.sqrt((share * (1 - share)) / trials + (Z * Z) / (4 * trials * trials));
    const size = 1 + (Z * Z) / trials;
    return [Math.max(0, (centre - half) / size), Math.min(1, (centre + half) / size)];
  };
  const rate = (inside, hit) => {
    const sizes = new Float64Array(groups);
    const hits = new Float64Array(groups);
    for (let i = 0; i < images; i++) {
      if (!inside(i)) continue;
      sizes[member[i]]++;
      if (hit(i)) hits[member[i]]++;
    }
    let total = 0, right = 0, squares = 0, most = 0, filled = 0;
    for (let g = 0; g < groups; g++) {
      total += sizes[g];
      right += hits[g];
      squares += sizes[g] ** 2;
      most = Math.max(most, sizes[g]);
      if (sizes[g]) filled++;
    }
    if (!total) return null;
    const value = right / total;
    let effect = 1;
    if (most > 1) {
      const equal = total ** 2 / squares;
      if (value === 0 || value === 1) effect = total / equal;
      else if (filled < 2) effect = total;
      else {
        let clustered = 0, above = 0, under = 0;
        for (let g = 0; g < groups; g++) {
          const share = Math.min(sizes[g] / total, 0.5);
          clustered += (hits[g] - value * sizes[g]) ** 2;
          above += share ** 2 / (1 - share);
          under += share ** 2;
        }
        const factor = (above / under) * (student(Math.max(equal - 1, 1)) / Z) ** 2;
        effect = Math.max(1, (clustered / total ** 2 / ((value * (1 - value)) / total)) * factor);
      }
    }
    const [low, high] = wilson(right / effect, total / effect);
    return { value, low, high, right, total };
  };

  // --- the threshold
  const slider = at("threshold"), what = at("what"), status = at("threshold-status");
  const everyone = () => true;
  const wrong = (i) => decided[i] !== truth[i];
  const figuresOf = (t) => {
    const k = what.value === "top" ? -1 : Number(what.value);
    if (k < 0) {
      const sure = (i) => sureness[i] >= t;
      return [
        ["with a decision", "test images", rate(everyone, sure)],
        ["wrong decisions", "decisions", rate(sure, wrong)],
        ["correct, but without a decision", "correct predictions", rate((i) => !wrong(i), (i) => !sure(i))],
      ];
    }
    const called = (i) => probabilities[i * classes + k] >= t;
    return [
      ["sensitivity", `images of ${labels[k]}`, rate((i) => truth[i] === k, called)],
      ["specificity", "other images", rate((i) => truth[i] !== k, (i) => !called(i))],
      ["positive predictive value", `images called ${labels[k]}`, rate(called, (i) => truth[i] === k)],
    ];
  };
  const curve = (value) => {
    // How many of some images are at or above each of 101 thresholds.
    const bins = new Float64Array(102);
    for (let i = 0; i < images; i++) {
      const found = value(i);
      if (found !== null) bins[Math.min(100, Math.floor((found * 100) / scale))]++;
    }
    for (let b = 99; b >= 0; b--) bins[b] += bins[b + 1];
    return bins;
  };
  const draw = () => {
    const k = what.value === "top" ? -1 : Number(what.value);
    let first, second;
    if (k < 0) {
      const ours = (i) => (sureness[i] < 0 ? null : sureness[i]);
      const sure = curve(ours), bad = curve((i) => (wrong(i) ? ours(i) : null));
      first = (b) => sure[b] / images;
      second = (b) => (sure[b] ? bad[b] / sure[b] : null);
    } else {
      const p = (i) => probabilities[i * classes + k];
      const own = curve((i) => (truth[i] === k ? p(i) : null)), other = curve((i) => (truth[i] !== k ? p(i) : null));
      first = (b) => (own[0] ? own[b] / own[0] : null);
      second = (b) => (other[0] ? 1 - other[b] / other[0] : null);
    }
    const { left, right, top, bottom } = at("curves").dataset;
    const points = (share) =>
      [...Array(101).keys()]
        .filter((b) => share(b) !== null)
        .map((b) => `${(+left + (b / 100) * (right - left)).toFixed(1)},${(+bottom - share(b) * (bottom - top)).toFixed(1)}`)
        .join(" ");
    at("curve-first").setAttribute("points", points(first));
    at("curve-second").setAttribute("points", points(second));
    at("name-first").textContent = k < 0 ? "with a decision" : "sensitivity";
    at("name-second").textContent = k < 0 ? "wrong decisions" : "specificity";
  };
  let exact = false, spoken = 0;
  const show = () => {
    const t = exact ? below : Number(slider.value) * (scale / 1000);
    const text = (t / scale).toFixed(exact && below % 10 ? 4 : 3);
    const told = [];
    figuresOf(t).forEach(([name, of, found], n) => {
      const tile = at(`figure-${n}`);
      tile.querySelector(".name").textContent = name;
      tile.querySelector(".value").textContent = found ? percent(found.value) : "–";
      tile.querySelector(".about").textContent = found
        ? `${(found.low * 100).toFixed(1)}–${percent(found.high)}; ${found.right} of ${found.total} ${of}`
        : `no ${of}`;
      told.push(found ? `${name} ${percent(found.value)}` : `${name}: none`);
    });
    at("threshold-value").textContent = text;
    slider.setAttribute("aria-valuetext", text);
    const { left, right } = at("curves").dataset;
    const x = (+left + (t / scale) * (right - left)).toFixed(1);
    at("cursor").setAttribute("x1", x);
    at("cursor").setAttribute("x2", x);
    clearTimeout(spoken);
    spoken = setTimeout(() => (status.textContent = `Threshold ${text}: ${told.join(", ")}.`), 250);
  };
  slider.addEventListener("input", () => { exact = false; show(); });
  what.addEventListener("change", () => { draw(); show(); });
  at("build-point").addEventListener("click", () => {
    slider.value = Math.round(below / (scale / 1000));
    exact = true;
    show();
  });
  exact = true;
  draw();
  show();
  at("cursor").removeAttribute("visibility");

  // --- the list of test images
  const PAGE = 25;
  const name = (i) => (data.names ? data.folders[data.folder[i]] + data.names[i] : `image ${i + 1}`);
  const word = (k) => (k === null || k === undefined ? "–" : k === classes ? "unable to analyze" : labels[k]);
  const columns = {
    image: name,
    truth: (i) => word(truth[i]),
    decided: (i) => word(given(i)),
    probability: (i) => best[i],
    fp32: (i) => word(fp32[i]),
    teacher: (i) => word(teacher && teacher[i]),
  };
  const state = { sort: "", down: false, page: 0, truth: "", given: "", kind: "", text: "" };
  const doubt = (i) => (wrong(i) ? 2 * scale : 0) + best[i]; // Wrong decisions first, most confident on top.
  const kinds = {
    wrong: (i) => wrong(i),
    changed: (i) => fp32[i] !== decided[i] || (teacher && teacher[i] !== decided[i]),
    unable: (i) => undecided.has(i),
  };
  let found = [];
  const find = () => {
    const text = state.text.toLowerCase();
    found = [];
    for (let i = 0; i < images; i++) {
      if (state.truth !== "" && truth[i] !== Number(state.truth)) continue;
      if (state.given !== "" && given(i) !== Number(state.given)) continue;
      if (state.kind && !kinds[state.kind](i)) continue;
      if (text && !name(i).toLowerCase().includes(text)) continue;
      found.push(i);
    }
    if (state.sort) {
      const keys = new Map(found.map((i) => [i, columns[state.sort](i)]));
      const order = (a, b) => (keys.get(a) < keys.get(b) ? -1 : keys.get(a) > keys.get(b) ? 1 : a - b);
      found.sort(state.down ? (a, b) => order(b, a) : order);
    } else found.sort((a, b) => doubt(b) - doubt(a) || a - b);
    state.page = 0;
  };
  const breakable = (element, text) => {
    for (const part of text.split(/(?<=[_./-])(?![_./-])/)) element.append(part, document.createElement("wbr"));
  };
  const cell = (text, kind) => {
    const made = document.createElement("td");
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const list = () => {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    const rows = found.slice(state.page * PAGE, (state.page + 1) * PAGE).map((i) => {
      const row = document.createElement("tr");
      const head = document.createElement("th");
      head.scope = "row";
      breakable(head, name(i));
      const mark = given(i) === classes ? "" : wrong(i) ? "✗ " : "✓ ";
      row.append(head, cell(word(truth[i])), cell(mark + word(given(i)), mark === "✗ " ? "no" : mark ? "ok" : ""));
      row.append(cell((best[i] / scale).toFixed(3), "n"), cell(word(fp32[i])));
      if (teacher) row.append(cell(word(teacher[i])));
      return row;
    });
    at("images-rows").replaceChildren(...rows);
    at("images-page").textContent = `page ${state.page + 1} of ${pages}`;
    at("images-back").disabled = state.page === 0;
    at("images-on").disabled = state.page >= pages - 1;
    at("images-status").textContent = `${found.length.toLocaleString("en")} of ${images.toLocaleString("en")} test images`;
    for (const head of document.querySelectorAll("#images th[data-key]")) {
      const mine = head.dataset.key === state.sort;
      if (mine) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    for (const button of document.querySelectorAll(".matrix button"))
      button.setAttribute("aria-pressed", String(button.dataset.truth === state.truth && button.dataset.given === state.given));
    let shown = 0, frames = document.querySelectorAll("#gallery figure");
    for (const figure of frames) {
      figure.hidden =
        (state.truth !== "" && figure.dataset.truth !== state.truth) || (state.given !== "" && figure.dataset.given !== state.given);
      if (!figure.hidden) shown++;
    }
    if (at("gallery-status"))
      at("gallery-status").textContent = shown < frames.length ? `${shown} of ${frames.length} frames match the cell chosen in the matrix.` : "";
  };
  const renew = () => { find(); list(); };
  for (const head of document.querySelectorAll("#images th[data-key]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      state.down = state.sort === head.dataset.key ? !state.down : head.dataset.key === "probability";
      state.sort = head.dataset.key;
      renew();
    });
  }
  for (const [id, key] of [["filter-truth", "truth"], ["filter-given", "given"], ["filter-kind", "kind"], ["filter-text", "text"]])
    at(id).addEventListener("input", (event) => { state[key] = event.target.value; renew(); });
  const step = (by) => () => { state.page += by; list(); };
  at("images-back").addEventListener("click", step(-1));
  at("images-on").addEventListener("click", step(1));
  at("images-clear").addEventListener("click", () => {
    for (const id of ["truth", "given", "kind", "text"]) { state[id] = ""; at(`filter-${id}`).value = ""; }
    renew();
  });
  for (const held of document.querySelectorAll(".matrix td[data-truth]")) {
    const button = document.createElement("button");
    button.type = "button";
    Object.assign(button.dataset, { truth: held.dataset.truth, given: held.dataset.given });
    button.setAttribute("aria-label", `List the ${held.querySelector("b").textContent} images: true class ${word(Number(held.dataset.truth))}, decision ${word(Number(held.dataset.given))}`);
    button.append(...held.childNodes);
    held.append(button);
    button.addEventListener("click", () => {
      const again = button.getAttribute("aria-pressed") === "true";
      state.truth = at("filter-truth").value = again ? "" : button.dataset.truth;
      state.given = at("filter-given").value = again ? "" : button.dataset.given;
      renew();
    });
  }
  renew();
  document.documentElement.dataset.ready = "true";
})();
