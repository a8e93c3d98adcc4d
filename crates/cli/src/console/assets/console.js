// What the pages do only with a script. Without it, every page works all the same: one reloads it.
//
//   data-live="1000"       the element is fetched again every so many milliseconds
//   data-check-all="name"  the box checks all boxes of that name in its form
//   data-drop              a file that is dropped on the form goes to its file input
//
// Nothing here builds markup from text. New markup comes from our own pages, is parsed by DOMParser, and runs no script.
"use strict";

// ---------------------------------------------------------------------------------------------------------------------------
// Live regions

const TIMEOUT = 10_000;
const LOST = "The console does not answer. Is callgatectl still running?";
const FAILED = "This page cannot be updated. Reload it to see why.";
const LOCKED = "The console was started again. Open the address that callgatectl printed.";

let etag = "";
let timer;
let fetching = false;

/** The wait until the next request in milliseconds. `undefined` if nothing on the page is live. */
function interval() {
  const waits = [...document.querySelectorAll("[data-live]")].map((region) => Number(region.dataset.live) || 1000);
  return waits.length > 0 ? Math.max(250, Math.min(...waits)) : undefined;
}

function schedule() {
  clearTimeout(timer);
  const wait = interval();
  if (wait !== undefined && !document.hidden) timer = setTimeout(refresh, wait);
}

/** Fetches the page again, and puts its live regions in the place of those that are shown. */
async function refresh() {
  if (fetching) return;
  fetching = true;
  try {
    const headers = etag ? { "If-None-Match": etag } : {};
    const signal = AbortSignal.timeout(TIMEOUT);
    const answer = await fetch(location.href, { headers, signal, cache: "no-store", redirect: "error" });
    if (answer.status === 401 || answer.status === 403) {
      showConnection(LOCKED);
    } else if (answer.status === 304) {
      showConnection("");
    } else if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      etag = answer.headers.get("ETag") ?? "";
      showConnection("");
      update(page);
    } else {
      showConnection(FAILED);
    }
  } catch {
    showConnection(LOST);
  } finally {
    fetching = false;
    schedule();
  }
}

function update(page) {
  if (page.title) document.title = page.title;
  for (const region of document.querySelectorAll("[data-live]")) {
    const fresh = region.id && page.getElementById(region.id);
    if (!fresh) {
      // The page has this region no longer, so there is nothing to wait for.
      region.removeAttribute("data-live");
    } else if (!region.isEqualNode(fresh)) {
      keepPlace(region, () => morph(region, fresh));
    }
  }
  document.querySelectorAll("[data-check-all]").forEach(showWhetherAll);
}

/** Runs a change of a region, so that what is used or looked at in it stays where it is on the screen. */
function keepPlace(region, change) {
  const focused = region.contains(document.activeElement) ? document.activeElement : null;
  const rows = () => [...region.querySelectorAll("tr, li")];
  const anchor =
    focused ??
    region.querySelector("tr:hover, li:hover, button:hover") ??
    (window.scrollY > 0 ? rows().find((row) => row.getBoundingClientRect().top >= 0) : undefined);
  const before = anchor?.getBoundingClientRect().top;
  change();
  if (focused && !focused.isConnected) {
    region.tabIndex = -1;
    region.focus({ preventScroll: true });
  }
  if (anchor?.isConnected) window.scrollBy({ top: anchor.getBoundingClientRect().top - before, behavior: "instant" });
}

/** What the reader changes in the page, and the server knows nothing of. */
const KEPT_ATTRIBUTES = { DETAILS: ["open"] };

/**
 * Makes an element like a new one, and changes only what differs: what stays keeps its focus, selection, checked boxes, typed
 * text and scroll position. Children with an id are recognised by it, others by their place.
 */
function morph(old, fresh) {
  const kept = KEPT_ATTRIBUTES[old.nodeName] ?? [];
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !kept.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !kept.includes(name)) old.setAttribute(name, value);
  }
  const wanted = new Set([...fresh.children].map((child) => child.id).filter(Boolean));
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let next = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    // What the new page does not have goes first, so that nothing that stays has to move.
    while (next?.id && next.id !== child.id && !wanted.has(next.id)) next = remove(next);
    const match = child.id ? known.get(child.id) : next && !next.id && next.nodeName === child.nodeName ? next : null;
    if (!match || match.nodeName !== child.nodeName) {
      old.insertBefore(document.importNode(child, true), next);
      continue;
    }
    if (match === next) next = next.nextSibling;
    else old.insertBefore(match, next);
    if (match.nodeType === Node.ELEMENT_NODE) {
      if (!match.isEqualNode(child)) morph(match, child);
    } else if (match.data !== child.data) {
      match.data = child.data;
    }
  }
  while (next) next = remove(next);
}

/** Removes a node. Returns the one after it. */
function remove(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

// Empty from the start, so that screen readers read what is written into it.
const connection = document.createElement("p");
connection.id = "connection";
connection.className = "message problem";
connection.setAttribute("role", "status");

function showConnection(text) {
  if (connection.textContent !== text) connection.textContent = text;
}

if (interval() !== undefined) {
  document.body.append(connection);
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : refresh()));
  schedule();
}

// ---------------------------------------------------------------------------------------------------------------------------
// One box for all boxes

function boxesOf(all) {
  const boxes = all.form?.elements ?? document.querySelectorAll("input");
  return [...boxes].filter((box) => box.type === "checkbox" && box.name === all.dataset.checkAll && !box.disabled);
}

function showWhetherAll(all) {
  const boxes = boxesOf(all);
  const checked = boxes.filter((box) => box.checked).length;
  all.checked = checked > 0 && checked === boxes.length;
  all.indeterminate = checked > 0 && checked < boxes.length;
}

document.addEventListener("change", ({ target }) => {
  if (target.dataset?.checkAll) {
    boxesOf(target).forEach((box) => (box.checked = target.checked));
  } else if (target.type === "checkbox") {
    document.querySelectorAll("[data-check-all]").forEach(showWhetherAll);
  }
});

// A browser that goes back to a page restores its boxes.
window.addEventListener("pageshow", () => document.querySelectorAll("[data-check-all]").forEach(showWhetherAll));

// ---------------------------------------------------------------------------------------------------------------------------
// Dropped files

for (const form of document.querySelectorAll("form[data-drop]")) {
  const input = form.querySelector("input[type=file]");
  const isFile = (event) => event.dataTransfer?.types.includes("Files");
  form.addEventListener("dragover", (event) => form.classList.toggle("dropping", isFile(event)));
  form.addEventListener("dragleave", (event) => {
    if (!form.contains(event.relatedTarget)) form.classList.remove("dropping");
  });
  form.addEventListener("drop", (event) => {
    form.classList.remove("dropping");
    if (!isFile(event) || event.dataTransfer.files.length === 0) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    input.focus();
  });
  // A file that misses the form is not opened in the place of the page.
  for (const kind of ["dragover", "drop"]) {
    window.addEventListener(kind, (event) => isFile(event) && event.preventDefault());
  }
}
