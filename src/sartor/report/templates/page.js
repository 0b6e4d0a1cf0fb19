"use strict";
(() => {
  const root = document.body;
  const hints = JSON.parse(document.getElementById("hints").textContent);
  const hint = document.getElementById("hint");

  const make = (name, text, parent) => {
    const made = document.createElement(name);
    made.textContent = text;
    parent.append(made);
    return made;
  };

  const fill = (about) => {
    hint.replaceChildren();
    make("b", about.name, hint);
    if (about.role) make("p", about.role, hint);
    for (const [what, value] of about.lines) {
      const line = make("div", "", hint);
      make("span", what, line);
      make("span", value, line);
    }
  };

  const move = (x, y) => {
    const box = hint.getBoundingClientRect();
    const left = x + 18 + box.width > innerWidth ? x - box.width - 14 : x + 18;
    const top = Math.min(y + 14, innerHeight - box.height - 8);
    hint.style.left = Math.max(6, left) + "px";
    hint.style.top = Math.max(6, top) + "px";
  };

  const light = (key) => {
    for (const other of document.querySelectorAll(".hot")) other.classList.remove("hot");
    root.classList.toggle("hovering", key !== undefined);
    if (key === undefined) return;
    for (const same of document.querySelectorAll('[data-c="' + key + '"]')) same.classList.add("hot");
  };

  const enter = (mark, x, y) => {
    const about = hints[Number(mark.dataset.c)];
    light(mark.dataset.c);
    if (!about || !mark.closest("svg")) return;
    fill(about);
    hint.hidden = false;
    move(x, y);
  };

  const leave = () => {
    light(undefined);
    hint.hidden = true;
  };

  document.addEventListener("pointerover", (event) => {
    const mark = event.target.closest("[data-c]");
    if (mark) enter(mark, event.clientX, event.clientY);
    else leave();
  });
  document.addEventListener("pointermove", (event) => {
    if (!hint.hidden) move(event.clientX, event.clientY);
  });
  document.addEventListener("focusin", (event) => {
    const mark = event.target.closest("[data-c]");
    if (!mark) return leave();
    const box = mark.getBoundingClientRect();
    enter(mark, box.right, box.top);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leave();
  });

  // The browser's own hover text would lie over ours; screen readers keep it as the label.
  for (const mark of document.querySelectorAll("g[data-c]")) {
    const title = mark.querySelector(":scope > title");
    if (!title) continue;
    mark.setAttribute("aria-label", title.textContent);
    title.remove();
  }

  const value = (row, column) => {
    const cell = row.cells[column];
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    return cell.classList.contains("n") ? null : cell.textContent.trim();
  };

  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

  const sort = (table, column, heading) => {
    const up = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
    const empty = (v) => v === null || v === "";
    rows.sort(([a], [b]) => (empty(a) || empty(b) ? empty(a) - empty(b) : (up ? 1 : -1) * compare(a, b)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  };

  for (const table of document.querySelectorAll("table[data-sortable]")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, column, heading));
    });
  }

  const copy = document.querySelector(".command button");
  if (copy) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const pre = copy.previousElementSibling;
      getSelection().selectAllChildren(pre);
      try {
        await navigator.clipboard.writeText(pre.textContent);
        copy.textContent = "Copied";
      } catch {
        copy.textContent = "Selected";
      }
    });
  }
})();
