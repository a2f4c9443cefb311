// The upload page: collect files by drop, choice, paste or example; show them; send them; go to the answers.

import { inspect } from "./checks.js";
import { Lost, Refused, chunks, sendChunk } from "./send.js";

const form = document.querySelector("#upload");
const field = form.querySelector("#image");
const folder = form.querySelector("#folder");
const drop = form.querySelector(".drop");
const list = form.querySelector("#chosen");
const button = form.querySelector("#analyse");
const problem = form.querySelector("#send-problem");
const sending = form.querySelector("#sending");
const bar = form.querySelector("#sent");
const barWords = form.querySelector("#sent-words");
const toBatch = form.querySelector("#to-batch");
const announce = form.querySelector("#announce");
const template = document.querySelector("#chosen-item");
const words = document.querySelector("#words").dataset;

const limits = {
  requestImages: Number(form.dataset.requestImages),
  requestBytes: Number(form.dataset.requestBytes),
  imageMegabytes: Number(form.dataset.imageMegabytes),
  zipMegabytes: Number(form.dataset.zipMegabytes),
  minSide: Number(form.dataset.minSide),
  maxSide: Number(form.dataset.maxSide),
  maxAspect: Number(form.dataset.maxAspect),
  patchSide: Number(form.dataset.patchSide),
};
const SHOWN = 200; // rows with a thumbnail; more files are sent all the same

let items = []; // { file, row, problem, isSent, isArchive }
let batch = null;
const inspections = []; // what runs; nothing is sent before it is known what it is

function say(name, values = {}) {
  const all = { megabytes: name === "zipSize" ? limits.zipMegabytes : limits.imageMegabytes, side: name === "large" ? limits.maxSide : limits.minSide,
    aspect: limits.maxAspect, ...values };
  return words[name].replace(/%\((\w+)\)s/g, (_, key) => all[key]);
}

function showProblem(sentence) {
  problem.textContent = sentence;
  problem.hidden = !sentence;
}

function size(bytes) {
  return bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1000))} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

function makeRow(item) {
  const row = template.content.cloneNode(true).firstElementChild;
  row.querySelector(".chosen-name").textContent = item.file.name;
  row.querySelector(".chosen-size").textContent = size(item.file.size);
  row.querySelector(".chosen-remove").addEventListener("click", () => {
    items = items.filter((other) => other !== item);
    row.remove();
    field.required = items.length === 0;
  });
  const picture = row.querySelector("img");
  const address = URL.createObjectURL(item.file);
  picture.addEventListener("load", () => URL.revokeObjectURL(address));
  picture.addEventListener("error", () => {
    URL.revokeObjectURL(address);
    picture.hidden = true;
  });
  picture.src = address;
  return row;
}

function mark(item, sentence, isNote = false) {
  if (!item.row) return;
  item.row.classList.toggle("chosen-note", isNote);
  item.row.querySelector(".chosen-problem").textContent = sentence;
}

async function add(files) {
  showProblem("");
  const added = [...files].map((file) => ({ file, row: null, problem: "", isSent: false }));
  for (const item of added) {
    if (items.length < SHOWN) {
      item.row = makeRow(item);
      list.append(item.row);
    }
    items.push(item);
  }
  field.required = items.length === 0;
  announce.textContent = say("chosen", { number: items.length });
  inspections.push(...added.map(async (item) => {
    const found = await inspect(item.file, limits);
    if (item.row && found.width) {
      item.row.querySelector(".chosen-size").textContent += ` · ${found.width} × ${found.height} px`;
    }
    item.problem = found.problem ?? "";
    item.isArchive = Boolean(found.isArchive);
    if (found.problem) mark(item, say(found.problem));
    else if (found.note) mark(item, say(found.note), true);
  }));
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    for (const inner of entries) found.push(...(await filesIn(inner)));
  }
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return add(transfer.files);
  const files = [];
  for (const entry of entries) files.push(...(await filesIn(entry)));
  return add(files);
}

function bodyOf(chunk) {
  const body = new FormData();
  for (const item of chunk) body.append(item.isArchive ? "zip" : "image", item.file, item.file.name);
  const choice = form.elements.visibility.value;
  body.append("visibility", choice === "forget" ? "private" : choice);
  if (choice === "forget") body.append("forget", "true");
  if (form.elements.um_per_pixel.value) body.append("um_per_pixel", form.elements.um_per_pixel.value);
  if (batch) body.append("batch", batch);
  return body;
}

// What the server rejected, matched to the rows by order: rejections come in the order sent.
function settle(chunk, answer) {
  if (chunk[0].isArchive) return settleArchive(chunk[0], answer);
  let rejected = [...(answer.rejected ?? [])];
  for (const item of chunk) {
    const mine = rejected.find((one) => one.name === item.file.name);
    if (mine) rejected = rejected.filter((one) => one !== mine);
    item.isSent = !mine;
    item.problem = mine ? mine.code : "";
    mark(item, mine ? mine.message : "✓", !mine);
  }
}

// Of an archive, its row says how many of its files were taken; which were not, the batch's page lists.
function settleArchive(item, answer) {
  const [good, bad] = [answer.predictions?.length ?? 0, answer.rejected?.length ?? 0];
  item.isSent = good > 0;
  item.problem = good ? "" : "archive";
  mark(item, bad || good ? say("taken", { good, bad }) : answer.error.message, item.isSent);
}

async function sendAll(waiting) {
  const total = waiting.reduce((sum, item) => sum + item.file.size, 0);
  let done = 0;
  let sent = 0;
  let last = null;
  for (const chunk of chunks(waiting, limits)) {
    const bytes = chunk.reduce((sum, item) => sum + item.file.size, 0);
    barWords.textContent = say("sending", { sent, total: waiting.length });
    const answer = await sendChunk({
      url: form.dataset.api,
      body: bodyOf(chunk),
      token: form.elements.csrfmiddlewaretoken.value,
      onProgress: (share) => { bar.value = (done + share * bytes) / total; },
      onPause: (seconds) => { barWords.textContent = say("waiting", { seconds }); },
    });
    batch = answer.batch ?? batch;
    last = answer.predictions?.at(-1) ?? last;
    settle(chunk, answer);
    done += bytes;
    sent += chunk.length;
    bar.value = done / total;
  }
  return last;
}

function explain(error) {
  if (error instanceof Refused && (error.status === 401 || error.status === 403)) return say("login");
  if (error instanceof Refused && error.message) return error.message;
  if (error instanceof Lost || error instanceof Refused) return say("lost");
  throw error;
}

async function analyse() {
  await Promise.all(inspections);
  const waiting = items.filter((item) => !item.problem && !item.isSent);
  if (!waiting.length) return showProblem(say("nothing"));
  if (!form.elements.visibility.value) return showProblem(say("visibility"));
  showProblem("");
  button.disabled = true;
  sending.hidden = false;
  try {
    const last = await sendAll(waiting);
    const good = items.filter((item) => item.isSent);
    const answers = form.dataset.batches.replace("00000000-0000-0000-0000-000000000000", batch);
    if (good.length && good.length === items.length) {
      location.assign(good.length === 1 && !good[0].isArchive ? new URL(last.url).pathname : answers);
      return undefined;
    }
    if (good.length) {
      toBatch.href = answers;
      toBatch.hidden = false;
      showProblem(say("some", { good: good.length }));
    } else {
      showProblem(say("nothing"));
    }
  } catch (error) {
    showProblem(explain(error));
  }
  sending.hidden = true;
  button.disabled = false;
  return undefined;
}

document.documentElement.classList.add("has-script");
for (const part of document.querySelectorAll(".needs-script")) part.hidden = false;
form.noValidate = true;

function takeChosen() {
  if (field.files.length) add(field.files);
  field.value = "";
}

takeChosen(); // whoever was quicker than this script
field.addEventListener("change", takeChosen);
folder.addEventListener("change", () => { add(folder.files); folder.value = ""; });
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("drop-over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("drop-over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("drop-over");
  dropped(event.dataTransfer);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) add(event.clipboardData.files);
});
field.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); field.click(); } });
for (const example of form.querySelectorAll(".example")) {
  example.addEventListener("click", async () => {
    const name = example.dataset.example.split("/").at(-1);
    const picture = await (await fetch(example.dataset.example)).blob();
    add([new File([picture], `drawn-${name}`, { type: "image/png" })]);
  });
}
form.addEventListener("submit", (event) => { event.preventDefault(); analyse(); });
// Coming back with the browser's button: what was sent is sent; the page starts anew.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
