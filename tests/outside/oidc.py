"""Tests Authlib, as its documentation shows it, with one tenant's issuer."""

import json
import os
import re
import urllib.parse

import httpx
from authlib.common.urls import add_params_to_uri
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

env = os.environ
issuer = env["ISSUER"]
metadata = httpx.get(issuer + "/.well-known/openid-configuration").json()
at = {name.removesuffix("_endpoint"): url for name, url in metadata.items() if name.endswith("_endpoint")}
scope = "openid profile email api offline_access"
verifier = "dBjftJeZ4CVP-mBVQwJDwJrJ8T2xSx9Q0Gm1o3JcBzU"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Browser(httpx.Client):
    """A person's browser: follows redirects, signs in and consents when asked."""

    def __init__(self):
        super().__init__(headers={"accept": "text/html"})

    def follow(self, url, back=None):
        """Returns the address that begins with `back`, or without `back` the first page that has no form."""
        answer = self.get(url)
        for _ in range(10):
            if location := answer.headers.get("location"):
                location = urllib.parse.urljoin(url, location)
                if back and location.startswith(back):
                    return location
                answer = self.get(location)
                continue
            assert answer.status_code == 200, answer.text
            action = re.search(r'<form method="post" action="([^"]*)"', answer.text)
            if not (back or action):
                return answer.text
            fields = {"pending": re.search(r'name="pending" value="([^"]*)"', answer.text)[1]}
            if 'name="decision"' in answer.text:
                fields["decision"] = "allow"
            else:
                fields |= {"login": env["LOGIN"], "password": env["PASSWORD"]}
            answer = self.post(urllib.parse.urljoin(url, action[1]), data=fields)
        raise AssertionError("led around")


def read(token, nonce=None, audience=env["CLIENT"], algorithms=("EdDSA", "Ed25519")):
    """Verifies an ID token with the published keys. Returns its claims."""
    keys = KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).json())
    claims = jwt.decode(token["id_token"], keys, algorithms=list(algorithms)).claims
    expected = {"iss": issuer, "aud": audience} | ({"nonce": nonce} if nonce else {})
    jwt.JWTClaimsRegistry(**{name: {"essential": True, "value": value} for name, value in expected.items()}).validate(claims)
    return claims


def signs_in(client, browser, nonce):
    """The authorization code grant with PKCE, after discovery."""
    url, state = client.create_authorization_url(at["authorization"], code_verifier=verifier, nonce=nonce)
    back = browser.follow(url, env["BACK"])
    return client.fetch_token(at["token"], authorization_response=back, state=state, code_verifier=verifier)


def goes_on_and_gives_back(client, token, subject):
    """Refreshes, introspects and revokes a token."""
    old = token["refresh_token"]
    token = client.refresh_token(at["token"], refresh_token=old)
    assert token["refresh_token"] != old
    told = client.introspect_token(at["introspection"], token=token["access_token"]).json()
    assert told["active"] and told["sub"] == subject, told
    assert client.revoke_token(at["revocation"], token=token["refresh_token"]).status_code == 200
    told = client.introspect_token(at["introspection"], token=token["access_token"]).json()
    assert told == {"active": False}, told


def client_of(name, secret, method, **more):
    return OAuth2Client(
        env[name], secret, scope=scope, redirect_uri=env["BACK"], code_challenge_method="S256",
        token_endpoint_auth_method=method, revocation_endpoint_auth_method=method, **more,
    )


# A client with a secret.
ada = Browser()
client = client_of("CLIENT", env["SECRET"], "client_secret_basic")
token = signs_in(client, ada, "n-1")
claims = read(token, "n-1")
assert claims["email"] == env["LOGIN"], claims
assert client.get(at["userinfo"]).json()["sub"] == claims["sub"]
goes_on_and_gives_back(client, token, claims["sub"])

# The device grant: a device shows a code, and the person allows it.
asked = client.post(at["device_authorization"], data={"scope": scope}, auth=(env["CLIENT"], env["SECRET"])).json()
assert "is connected" in ada.follow(asked["verification_uri_complete"])
token = client.fetch_token(at["token"], grant_type=DEVICE, device_code=asked["device_code"])
assert read(token)["sub"] == claims["sub"]

# private_key_jwt, with assertions that are valid for an hour, as Authlib makes them.
key = ECKey.import_key(json.loads(env["SIGNER_KEY"]))
signer = client_of("SIGNER", key, "private_key_jwt")
signer.register_client_auth_method(PrivateKeyJWT(at["token"], headers={"kid": "k1"}, alg="ES256"))
signed = signs_in(signer, ada, "n-2")
assert read(signed, "n-2", env["SIGNER"], ["ES256"])["sub"] == claims["sub"]
goes_on_and_gives_back(signer, signed, claims["sub"])

# A client that supports only RS256.
old = client_of("OLD", env["OLD_SECRET"], "client_secret_basic")
assert read(signs_in(old, ada, "n-3"), "n-3", env["OLD"], ["RS256"])["sub"] == claims["sub"]

# After sign-out the browser is redirected to the client's address, and the session has ended.
out = {"id_token_hint": signed["id_token"], "post_logout_redirect_uri": env["OUT"], "state": "bye"}
led = ada.follow(add_params_to_uri(at["end_session"], list(out.items())), env["OUT"])
assert urllib.parse.parse_qs(urllib.parse.urlsplit(led).query)["state"] == ["bye"], led
url, _ = client.create_authorization_url(at["authorization"], code_verifier=verifier, prompt="none")
assert "error=login_required" in ada.follow(url, env["BACK"])

# A machine with the client credentials grant.
machine = OAuth2Client(env["MACHINE"], env["MACHINE_SECRET"], token_endpoint_auth_method="client_secret_post")
assert machine.fetch_token(at["token"], grant_type="client_credentials")["access_token"]
print("ok")
