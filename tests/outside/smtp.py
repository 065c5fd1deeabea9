"""Realistic mail servers: aiosmtpd with TLS and login; implicit TLS on one port, STARTTLS on the other.

CERTIFICATE and KEY are files, LOGIN and PASSWORD the accepted credentials. The first line printed has the ports, each further line an
accepted mail or a refused login.
"""

import asyncio
import json
import os
import ssl

from aiosmtpd.smtp import SMTP, AuthResult

env = os.environ
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain(env["CERTIFICATE"], env["KEY"])


def say(what):
    print(json.dumps(what), flush=True)


def authenticate(server, session, envelope, mechanism, given):
    """Reports a refused login, without its password."""
    if (given.login, given.password) == (env["LOGIN"].encode(), env["PASSWORD"].encode()):
        return AuthResult(success=True)
    say({"refused": given.login.decode()})
    return AuthResult(success=False, handled=False)


class Taken:
    """Accepts all mails of authenticated clients."""

    async def handle_DATA(self, server, session, envelope):
        tls = server.transport.get_extra_info("cipher") is not None
        text = envelope.content.decode()
        say({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": tls, "let_in": session.authenticated, "text": text})
        return "250 taken"


async def main():
    def server(**more):
        return lambda: SMTP(Taken(), authenticator=authenticate, auth_required=True, hostname="localhost", **more)

    loop = asyncio.get_running_loop()
    # aiosmtpd knows only about STARTTLS. On this port all connections have TLS already.
    at_once = await loop.create_server(server(auth_require_tls=False), "127.0.0.1", 0, ssl=context)
    asked = await loop.create_server(server(tls_context=context, require_starttls=True), "127.0.0.1", 0)
    port = lambda listening: listening.sockets[0].getsockname()[1]
    say({"smtps": port(at_once), "starttls": port(asked)})
    await asyncio.Event().wait()


asyncio.run(main())
