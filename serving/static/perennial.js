// Small comforts; every page works without them.
"use strict";
(() => {
  const busy = () => document.documentElement.classList.add("is-loading");
  for (const form of document.querySelectorAll("form[data-auto]")) {
    form.addEventListener("change", (event) => {
      if (event.target.type !== "search") { busy(); form.requestSubmit(); }
    });
  }
  document.addEventListener("submit", (event) => { if (!event.defaultPrevented) busy(); });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    const plain = !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0;
    if (link && plain && !link.hasAttribute("download") && link.origin === location.origin && !link.hash) busy();
  });
  addEventListener("pageshow", () => document.documentElement.classList.remove("is-loading"));
  for (const range of document.querySelectorAll("input[type=range][data-shows]")) {
    const shown = document.getElementById(range.dataset.shows);
    const show = () => { shown.textContent = range.value + (range.dataset.unit || ""); };
    range.addEventListener("input", show);
    show();
  }
})();
