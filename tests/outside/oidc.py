"""Authlib, as its documentation has it, against one tenant's issuer."""

import os
import re
import urllib.parse

import httpx
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.jwk import KeySet

env = os.environ
issuer = env["ISSUER"]
metadata = httpx.get(issuer + "/.well-known/openid-configuration").json()


def follow(url):
    """Goes where it is led, signs in where it is asked to; gives the address that begins like the client's."""
    with httpx.Client(headers={"accept": "text/html"}) as browser:
        answer = browser.get(url)
        for _ in range(10):
            if location := answer.headers.get("location"):
                location = urllib.parse.urljoin(url, location)
                if location.startswith(env["BACK"]):
                    return location
                answer = browser.get(location)
                continue
            assert answer.status_code == 200, answer.text
            action = re.search(r'<form method="post" action="([^"]*)"', answer.text)[1]
            fields = {"pending": re.search(r'name="pending" value="([^"]*)"', answer.text)[1]}
            if 'name="decision"' in answer.text:
                fields["decision"] = "allow"
            else:
                fields |= {"login": env["LOGIN"], "password": env["PASSWORD"]}
            answer = browser.post(urllib.parse.urljoin(url, action), data=fields)
    raise AssertionError("led around")


scope = "openid profile email api offline_access"
client = OAuth2Client(
    env["CLIENT"], env["SECRET"], scope=scope, redirect_uri=env["BACK"], code_challenge_method="S256",
    token_endpoint_auth_method="client_secret_basic", revocation_endpoint_auth_method="client_secret_basic",
)
verifier = "dBjftJeZ4CVP-mBVQwJDwJrJ8T2xSx9Q0Gm1o3JcBzU"
url, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce="n-1")
token = client.fetch_token(
    metadata["token_endpoint"], authorization_response=follow(url), state=state, code_verifier=verifier
)
keys = KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).json())
claims = jwt.decode(token["id_token"], keys, algorithms=["EdDSA", "Ed25519"]).claims
checks = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": issuer}, aud={"essential": True, "value": env["CLIENT"]},
    nonce={"essential": True, "value": "n-1"},
)
checks.validate(claims)
assert claims["email"] == env["LOGIN"], claims
assert client.get(metadata["userinfo_endpoint"]).json()["sub"] == claims["sub"]

old = token["refresh_token"]
token = client.refresh_token(metadata["token_endpoint"], refresh_token=old)
assert token["refresh_token"] != old
told = client.introspect_token(metadata["introspection_endpoint"], token=token["access_token"]).json()
assert told["active"] and told["sub"] == claims["sub"], told
assert client.revoke_token(metadata["revocation_endpoint"], token=token["refresh_token"]).status_code == 200
told = client.introspect_token(metadata["introspection_endpoint"], token=token["access_token"]).json()
assert told == {"active": False}, told

# One that knows RS256 only.
client = OAuth2Client(
    env["OLD"], env["OLD_SECRET"], scope=scope, redirect_uri=env["BACK"], code_challenge_method="S256",
    token_endpoint_auth_method="client_secret_basic",
)
url, state = client.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce="n-2")
token = client.fetch_token(
    metadata["token_endpoint"], authorization_response=follow(url), state=state, code_verifier=verifier
)
keys = KeySet.import_key_set(httpx.get(metadata["jwks_uri"]).json())
assert jwt.decode(token["id_token"], keys, algorithms=["RS256"]).claims["sub"] == claims["sub"]

machine = OAuth2Client(env["MACHINE"], env["MACHINE_SECRET"], token_endpoint_auth_method="client_secret_post")
assert machine.fetch_token(metadata["token_endpoint"], grant_type="client_credentials")["access_token"]
print("ok")
