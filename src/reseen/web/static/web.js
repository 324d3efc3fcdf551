// Dropping and pasting pictures, counting ticks, and where the focus goes; all else is plain forms.
"use strict";

function choose(form, files) {
  const input = form.querySelector("input[type=file]"), put = new DataTransfer();
  for (const file of input.multiple ? files : [...files].slice(0, 1)) put.items.add(file);
  if (!put.files.length) return;
  input.files = put.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

document.addEventListener("dragover", event => {
  const form = document.querySelector(".drop");
  if (!form || !event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();  // anywhere on the page: a browser would leave it and show the file
  form.classList.add("over");
});
document.addEventListener("dragleave", event => {
  if (!event.relatedTarget) document.querySelector(".drop")?.classList.remove("over");
});
document.addEventListener("drop", event => {
  const form = document.querySelector(".drop");
  if (!form) return;
  event.preventDefault();
  form.classList.remove("over");
  choose(form, event.dataTransfer.files);
});
document.addEventListener("paste", event => {
  const form = document.querySelector(".drop");
  if (form && event.clipboardData.files.length) choose(form, event.clipboardData.files);
});

// One picture to search for is sent at once; several to add wait for camera and time.
document.addEventListener("change", event => {
  const form = event.target.closest(".drop");
  if (form && event.target.type === "file" && event.target.files.length) {
    if (event.target.multiple) {
      form.querySelector("label span").textContent =
        `${event.target.files.length} chosen: ${[...event.target.files].map(file => file.name).join(", ")}`;
    } else form.requestSubmit();
  }
  if (event.target.matches("[name=crop]")) count(event.target.form);
});

function count(form) {
  const place = form.querySelector(".count");
  if (place) place.textContent = form.querySelectorAll("[name=crop]:checked").length;
}

// "Tick all" stands in a heading, for the crops below it.
document.addEventListener("click", event => {
  if (!event.target.matches(".all")) return;
  const boxes = [...event.target.parentElement.nextElementSibling.querySelectorAll("[name=crop]")];
  const ticked = boxes.some(box => !box.checked);
  for (const box of boxes) box.checked = ticked;
  count(event.target.form);
});

// A bar of the timeline leads to crops that may be folded away.
function unfold() {
  const place = location.hash && document.getElementById(location.hash.slice(1));
  const folded = place && place.closest("details");
  if (folded && !folded.open) {
    folded.open = true;
    place.scrollIntoView();
  }
}
window.addEventListener("hashchange", unfold);

function settle() {
  document.querySelectorAll("form").forEach(count);
  document.querySelectorAll(".all").forEach(button => { button.hidden = false; });
}
settle();
document.addEventListener("htmx:afterSettle", event => {
  settle();
  if (event.target !== document.body) return;
  const said = document.querySelector("#said p");
  if (document.activeElement === document.body) {
    document.querySelector("#main")?.focus({ preventScroll: true });
    if (!location.hash) window.scrollTo(0, 0);
  }
  if (said) said.parentElement.replaceChildren(said.cloneNode(true));  // read aloud once more
});
