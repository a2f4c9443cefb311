// Passkeys and security keys: asks the browser for one, puts what it says into the form, and sends that.
// A button names what it does (data-passkey: create or get), the element that holds the server's options
// (data-options), or the address that gives them (data-options-from). The conversion is allauth's own script.

const readOptions = async (button) => {
  if (!button.dataset.optionsFrom) {
    return JSON.parse(document.getElementById(button.dataset.options).textContent);
  }
  const response = await fetch(button.dataset.optionsFrom, { headers: { Accept: "application/json" } });
  if (!response.ok) {
    throw new Error(response.statusText);
  }
  return response.json();
};

const createCredential = (options, isPasskey) => {
  const wanted = options.creation_options.publicKey.authenticatorSelection;
  wanted.residentKey = isPasskey ? "required" : "discouraged";
  wanted.requireResidentKey = isPasskey;
  if (isPasskey) {
    wanted.userVerification = "required";
  }
  return window.webauthnJSON.create(options.creation_options);
};

for (const button of document.querySelectorAll("[data-passkey]")) {
  const form = button.form;
  const problem = document.getElementById("passkey-problem");
  const isSupported = Boolean(window.PublicKeyCredential);
  button.hidden = !isSupported;
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    try {
      const options = await readOptions(button);
      const credential = await (button.dataset.passkey === "create"
        ? createCredential(options, form.elements.passwordless?.checked ?? false)
        : window.webauthnJSON.get(options.request_options));
      form.elements.credential.value = JSON.stringify(credential);
      form.submit();
    } catch {
      problem.hidden = false; // cancelled, unknown here, or taken too long: the browser does not say which
    }
  });
}
