// Reviewing by keyboard: a key presses the control that names it in data-keys. Everything works by mouse and Tab too.

const controls = [...document.querySelectorAll("[data-keys]")];
const image = document.querySelector("[data-following]");
const choice = document.querySelector("#by-keys");
const REMEMBERED = "review-by-keys";

function isOn() {
  return localStorage.getItem(REMEMBERED) !== "off";
}

// Single letters can be in the way of speech input and other tools: they can be switched off, and it is remembered.
if (choice) {
  for (const part of document.querySelectorAll(".needs-script")) part.hidden = false;
  choice.checked = isOn();
  choice.addEventListener("change", () => localStorage.setItem(REMEMBERED, choice.checked ? "on" : "off"));
}

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.target.closest("textarea, input:not([type=checkbox]), select")) return;
  const isEnter = event.key === "Enter";
  if (isEnter && event.target.closest("a, button, summary, input")) return; // it has a meaning there already
  if (!isEnter && !isOn()) return;
  const control = controls.find((one) => one.dataset.keys.split(" ").includes(event.key.toLowerCase()));
  if (!control) return;
  event.preventDefault();
  control.click();
});

// The next picture is fetched while this one is looked at.
if (image) {
  const fetchFollowing = () => { new Image().src = image.dataset.following; };
  if (image.complete) fetchFollowing();
  else image.addEventListener("load", fetchFollowing);
}
