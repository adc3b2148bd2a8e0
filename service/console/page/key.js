// The field for a key, where the service asks for one.

import { byId } from "./dom.js";

/** Opens the dialog and resolves with what was entered, or with null. `refusal` says why an earlier key was refused. */
export function askForKey(refusal) {
  const dialog = byId("key-dialog");
  const field = byId("key-field");
  byId("key-problem").hidden = !refusal;
  byId("key-problem").textContent = refusal ?? "";
  field.value = "";
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    const submitted = (event) => {
      event.preventDefault();
      dialog.close("given");
    };
    const cancelled = () => dialog.close("");
    byId("key-form").addEventListener("submit", submitted, { once: true });
    byId("key-cancel").addEventListener("click", cancelled, { once: true });
    dialog.addEventListener(
      "close",
      () => {
        byId("key-form").removeEventListener("submit", submitted);
        byId("key-cancel").removeEventListener("click", cancelled);
        const key = dialog.returnValue === "given" ? field.value.trim() : "";
        field.value = "";
        resolve(key || null);
      },
      { once: true },
    );
  });
}
