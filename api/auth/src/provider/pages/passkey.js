// Asks the browser for a passkey, and sends its answer with the form that asks for it. What is asked for stands in the form; nothing
// is sent but that form, and nothing is fetched. Where a browser knows no passkeys, the page stays as it is.
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

    async function made(options) {
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

    async function shown(options) {
        const allowCredentials = credentials(options.allowCredentials);
        const publicKey = { ...options, challenge: bytes(options.challenge), allowCredentials };
        const { id, rawId, type, response } = await navigator.credentials.get({ publicKey });
        const { authenticatorData, clientDataJSON, signature, userHandle } = response;
        const said = {
            authenticatorData: text(authenticatorData),
            clientDataJSON: text(clientDataJSON),
            signature: text(signature),
            userHandle: userHandle ? text(userHandle) : null,
        };
        return { id, rawId: text(rawId), type, response: said };
    }

    form.addEventListener('submit', async (event) => {
        event.preventDefault();
        failed.hidden = true;
        button.disabled = true;
        try {
            const options = JSON.parse(form.dataset.options);
            const answer = form.dataset.passkey === 'make' ? await made(options) : await shown(options);
            form.elements.answer.value = JSON.stringify(answer);
            form.submit();
        } catch (error) {
            // What a browser says of it is for programmers, and in whatever language.
            const there = error.name === 'InvalidStateError';
            failed.textContent = there ? form.dataset.there : form.dataset.failed;
            failed.hidden = false;
            button.disabled = false;
            button.focus();
        }
    });
})();
