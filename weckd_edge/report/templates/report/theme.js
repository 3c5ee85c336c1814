
"use strict";
// Colours: those the system asks for, until the reader chooses; a choice is kept where the browser keeps anything for files.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const kept = (value) => {
    try {
      if (value !== undefined) localStorage.setItem("weckd-theme", value);
      return localStorage.getItem("weckd-theme");
    } catch {
      return null;
    }
  };
  const chosen = kept();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => (button.textContent = isDark() ? "Light colours" : "Dark colours");
    button.hidden = false;
    name();
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      kept(root.dataset.theme);
      name();
    });
    system.addEventListener("change", name);
    const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
    const watcher = new IntersectionObserver(
      (seen) => {
        for (const one of seen) {
          if (!one.isIntersecting) continue;
          for (const link of links.values()) link.removeAttribute("aria-current");
          links.get(one.target.id)?.setAttribute("aria-current", "true");
        }
      },
      { rootMargin: "-15% 0px -75% 0px" },
    );
    for (const id of links.keys()) watcher.observe(document.getElementById(id));
    // On paper nothing can be opened: what is closed on the screen is opened to print, and closed again.
    let closed = [];
    addEventListener("beforeprint", () => {
      closed = [...document.querySelectorAll("details:not([open])")];
      for (const one of closed) one.open = true;
    });
    addEventListener("afterprint", () => {
      for (const one of closed) one.open = false;
    });
  });
})();
