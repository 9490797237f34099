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

  // On a phone the filters open when they are asked for.
  for (const filters of document.querySelectorAll("details.filtering")) {
    if (matchMedia("(max-width: 860px)").matches && !filters.dataset.used) filters.open = false;
  }

  // Rows that are ticked: how many, all at once, and the bar of what can be done to them in sight meanwhile.
  for (const bar of document.querySelectorAll("form[data-bulk]")) {
    const boxes = [...document.querySelectorAll(`td.pick input[name="${bar.dataset.bulk}"]`)];
    const all = document.querySelector(`input[data-all="${bar.dataset.bulk}"]`);
    const words = bar.querySelector("[data-count]");
    const count = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      words.textContent = chosen ? `${chosen} row${chosen === 1 ? "" : "s"} chosen` : "Tick rows to work on several at once";
      bar.classList.toggle("is-on", chosen > 0);
      for (const set of bar.querySelectorAll("fieldset")) set.disabled = !chosen;
      all.checked = chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    };
    all.hidden = false;
    all.addEventListener("change", () => { for (const box of boxes) box.checked = all.checked; count(); });
    for (const box of boxes) box.addEventListener("change", count);
    count();
  }

  // A number that may be left empty becomes a slider that counts only once it was moved.
  const slide = (field, asked) => {
    const shown = document.createElement("output");
    const was = field.value;
    const mean = Math.round(Number(field.max) / 3);
    field.type = "range";
    field.value = was === "" ? mean : was;
    field.dataset.moved = was === "" ? "" : "yes";
    field.after(shown);
    const show = () => {
      const text = field.dataset.moved ? field.value + (field.dataset.unit || "") : "as it is";
      shown.textContent = text;
      field.setAttribute("aria-valuetext", text);
    };
    field.addEventListener("input", () => { field.dataset.moved = "yes"; show(); asked(); });
    show();
    return () => { field.dataset.moved = ""; field.value = mean; show(); };
  };

  for (const form of document.querySelectorAll("form[data-what-if]")) {
    const answer = document.getElementById(form.dataset.shows);
    let waiting, asking;
    const ask = async () => {
      const moved = [...form.querySelectorAll("input[data-slider]")].filter((field) => field.dataset.moved);
      const query = new URLSearchParams(moved.map((field) => [field.name, field.value]));
      asking?.abort();
      asking = new AbortController();
      answer.setAttribute("aria-busy", "true");
      try {
        const got = await fetch(`${form.dataset.whatIf}?${query}`, { signal: asking.signal, headers: { accept: "text/html" } });
        if (!got.ok) throw new Error(String(got.status));
        answer.innerHTML = await got.text();
      } catch (error) {
        if (error.name === "AbortError") return;
        answer.textContent = "This could not be worked out just now. Try again in a moment.";
      }
      answer.removeAttribute("aria-busy");
    };
    const soon = () => { clearTimeout(waiting); waiting = setTimeout(ask, 200); };
    const resets = [...form.querySelectorAll("input[data-slider]")].map((field) => slide(field, soon));
    const reset = form.querySelector("button[type=reset]");
    reset.hidden = false;
    form.addEventListener("reset", (event) => { event.preventDefault(); resets.forEach((each) => each()); ask(); });
    form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
    form.querySelector("button:not([type=reset])").hidden = true;
  }

  // What is being worked out is looked for again while somebody looks at the page, and shown once it is there:
  // a part takes its place among the rest, a whole page is loaded again unless somebody is typing.
  const coming = () => [...document.querySelectorAll("[data-comes]")];
  const typing = () => document.activeElement?.matches("input:not([type=range]), select, textarea");
  const place = (fresh) => {
    for (const part of new Set(coming().map((one) => one.closest("[data-part]")))) {
      const now = part ? fresh.getElementById(part.id) : fresh.querySelector("main");
      const there = now && ![...now.querySelectorAll("[data-comes]")].some((one) => part || !one.closest("[data-part]"));
      if (there && part) part.replaceChildren(...now.childNodes);
      else if (there && !typing()) { location.reload(); return; }
    }
  };
  const look = async (wait) => {
    const got = document.hidden ? null : await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    if (got?.ok) place(new DOMParser().parseFromString(await got.text(), "text/html"));
    if (coming().length) setTimeout(look, wait, Math.min(1.5 * wait, 20000));
  };
  if (coming().length) setTimeout(look, 2000, 3000);
})();
