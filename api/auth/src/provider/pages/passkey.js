// Asks the browser for a passkey, and sends its answer with the form that asks for it. The options are in the form; the script sends
// nothing but that form and fetches nothing. In a browser without passkeys, the page stays as it is; where the browser can suggest them
// in the field for the login name (conditional mediation), it does.
'use strict';

(() => {
    const form = document.querySelector('form[data-passkey]');
    if (!form || !window.PublicKeyCredential) return;

    const failed = form.querySelector('[data-failed]');
    const button = form.querySelector('button');
    form.hidden = false;
    for (const part of document.querySelectorAll('[data-without-passkeys]')) part.hidden = true;
    for (const part of document.querySelectorAll('[data-with-passkeys]')) part.hidden = false;

    const bytes = (text) =>
        Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
    const text = (buffer) =>
        btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(''))
            .replaceAll('+', '-')
            .replaceAll('/', '_')
            .replaceAll('=', '');
    const credentials = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));

    async function create(options) {
        const publicKey = {
            ...options,
            challenge: bytes(options.challenge),
            user: { ...options.user, id: bytes(options.user.id) },
            excludeCredentials: credentials(options.excludeCredentials),
        };
        const { id, rawId, type, response } = await navigator.credentials.create({ publicKey });
        const { attestationObject, clientDataJSON } = response;
        const said = { attestationObject: text(attestationObject), clientDataJSON: text(clientDataJSON) };
        return { id, rawId: text(rawId), type, response: said };
    }

    // Aborts the pending suggestion in the login field: a browser answers only one request at a time.
    let waiting;

    async function get(options, more) {
        const allowCredentials = credentials(options.allowCredentials);
        const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials };
        const { id, rawId, type, response } = await navigator.credentials.get({ publicKey, ...more });
        const { authenticatorData, clientDataJSON, signature, userHandle } = response;
        const said = {
            authenticatorData: text(authenticatorData),
            clientDataJSON: text(clientDataJSON),
            signature: text(signature),
            userHandle: userHandle ? text(userHandle) : null,
        };
        return { id, rawId: text(rawId), type, response: said };
    }

    const send = (answer) => {
        form.elements.answer.value = JSON.stringify(answer);
        form.submit();
    };

    async function offer() {
        if (!document.querySelector('[autocomplete~="webauthn"]')) return;
        if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
        const options = JSON.parse(form.dataset.options);
        waiting = new AbortController();
        // The challenge expires then, and a later answer would be refused.
        setTimeout(() => waiting.abort(), options.timeout);
        try {
            send(await get(options, { mediation: 'conditional', signal: waiting.signal }));
        } catch {
            // No passkey was chosen, or there is none: the button and the password remain.
        }
    }

    form.addEventListener('submit', async (event) => {
        event.preventDefault();
        waiting?.abort();
        failed.hidden = true;
        button.disabled = true;
        try {
            const options = JSON.parse(form.dataset.options);
            const answer = form.dataset.passkey === 'make' ? await create(options) : await get(options);
            send(answer);
        } catch (error) {
            // The browser's own message is meant for developers, and its language varies: show ours instead.
            const there = error.name === 'InvalidStateError';
            failed.textContent = there ? form.dataset.there : form.dataset.failed;
            failed.hidden = false;
            button.disabled = false;
            button.focus();
        }
    });
    offer();
})();
