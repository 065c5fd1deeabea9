"""pysaml2 as an identity provider, as its documentation shows it, with simulated browsers.

    saml.py metadata FOLDER          makes the provider's keys, and prints its metadata
    saml.py requested FOLDER         sign-in that begins at an application (SP-initiated)
    saml.py unrequested FOLDER       sign-in that begins at the provider (IdP-initiated)
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import urllib.parse
from html import unescape
from pathlib import Path

import requests
import saml2.entity
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.authn_context import PASSWORDPROTECTEDTRANSPORT
from saml2.config import IdPConfig
from saml2.metadata import entity_descriptor
from saml2.saml import NAMEID_FORMAT_EMAILADDRESS, NameID
from saml2.samlp import STATUS_SUCCESS
from saml2.server import Server
from saml2.xmldsig import DIGEST_SHA256, SIG_RSA_SHA256

env = os.environ
mode, folder = sys.argv[1], Path(sys.argv[2])
key, certificate = str(folder / "idp.key"), str(folder / "idp.crt")
# The binding for single logout at both sides.
leaving = BINDING_HTTP_POST if env.get("LEAVES_BY") == "post" else BINDING_HTTP_REDIRECT


def configuration(**more):
    return IdPConfig().load({
        "entityid": "https://idp.example.com/metadata",
        "xmlsec_binary": shutil.which("xmlsec1"),
        "key_file": key,
        "cert_file": certificate,
        "service": {"idp": {
            "want_authn_requests_signed": True,
            "endpoints": {
                "single_sign_on_service": [("https://idp.example.com/sso", BINDING_HTTP_REDIRECT)],
                "single_logout_service": [("https://idp.example.com/slo", leaving)],
            },
            "policy": {"default": {"lifetime": {"minutes": 5}, "attribute_restrictions": None}},
        }},
    } | more)


if mode == "metadata":
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=idp.example.com"]
    subprocess.run(make + ["-keyout", key, "-out", certificate], check=True, capture_output=True)
    print(entity_descriptor(configuration()))
    sys.exit()

# The provider reads our published metadata.
connection = env["CONNECTION"]
(folder / "sp.xml").write_text(requests.get(f"{connection}/metadata").text)
idp = Server(config=configuration(metadata={"local": [str(folder / "sp.xml")]}))
[sp] = idp.metadata.service_providers()
assert sp == f"{connection}/metadata", sp

# pysaml2 encrypts with Triple DES and has no setting for that, so patch it if another algorithm is wanted.
encrypts = env.get("ENCRYPTS", "")
if encrypts:
    method = ("http://www.w3.org/2009/xmlenc11#" if encrypts.endswith("gcm") else "http://www.w3.org/2001/04/xmlenc#") + encrypts
    saml2.entity.pre_encryption_part = functools.partial(saml2.entity.pre_encryption_part, msg_enc=method)
    idp.sec.encrypt_assertion = functools.partial(idp.sec.encrypt_assertion, key_type=encrypts.split("-")[0].replace("aes", "aes-"))

browser = requests.Session()
browser.headers["accept"] = "text/html"


def goes(url):
    """Follows redirects within our own pages. Returns the last response, or the first foreign address."""
    while url.startswith(env["URL"]):
        answer = browser.get(url, allow_redirects=False)
        if "location" not in answer.headers:
            return answer
        url = urllib.parse.urljoin(url, answer.headers["location"])
    return url


def says(in_response_to, destination):
    """Signs in at the provider: posts its response through the browser. Returns where that leads."""
    who = NameID(format=NAMEID_FORMAT_EMAILADDRESS, text=env["LOGIN"])
    response = idp.create_authn_response(
        {"displayName": [env["NAME"]], "eduPersonAffiliation": ["staff", "unheard-of"]},
        in_response_to, destination, sp, name_id=who,
        authn={"class_ref": PASSWORDPROTECTEDTRANSPORT, "authn_auth": "https://idp.example.com"},
        sign_response=env["SIGNS"] in ("response", "both"), sign_assertion=env["SIGNS"] in ("assertion", "both"),
        sign_alg=SIG_RSA_SHA256, digest_alg=DIGEST_SHA256,
        # With the encryption certificate in our metadata.
        encrypt_assertion=bool(encrypts),
    )
    if encrypts:
        assert "EncryptedAssertion" in str(response) and env["LOGIN"] not in str(response), response
    return posts(response, destination, "", True)


def fields_of(page):
    """The hidden fields of a page's form."""
    return {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}


def posts(message, destination, state, response):
    """Posts a message from a form on the provider's page, and follows where that leads."""
    form = idp.apply_binding(BINDING_HTTP_POST, str(message), destination, state, response=response)["data"]
    # A cross-site POST has none of our cookies, as in a browser.
    answer = requests.post(destination, data=fields_of(form), headers={"accept": "text/html"}, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    return goes(urllib.parse.urljoin(destination, answer.headers["location"]))


def redirects(message, destination, response):
    """The address of a signed redirect from the provider with a message."""
    info = idp.apply_binding(
        BINDING_HTTP_REDIRECT, str(message), destination, "a state", response=response, sign=True, sigalg=SIG_RSA_SHA256,
    )
    return dict(info["headers"])["Location"]


def leaves_here():
    """Sign-out that begins here: the provider is asked to sign the person out too, and the browser comes back."""
    page = goes(f"{env['ISSUER']}/logout")
    pending = re.search(r'name="pending" value="([^"]*)"', page.text)[1]
    sent = browser.post(f"{env['ISSUER']}/logout", data={"pending": pending})
    url = sent.headers["refresh"].removeprefix("0; url=")
    assert url.startswith("https://idp.example.com/slo?"), url
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    request = idp.parse_logout_request(
        query["SAMLRequest"], BINDING_HTTP_REDIRECT, sigalg=query["SigAlg"], signature=query["Signature"],
    )
    assert request.message.name_id.text == env["LOGIN"] and request.message.session_index, request.message
    answer = idp.create_logout_response(request.message, [BINDING_HTTP_REDIRECT], sign=False)
    page = goes(redirects(answer, f"{connection}/slo", True))
    assert "You are signed out" in page.text, page.text


def leaves_there():
    """Sign-out that begins at the provider: the browser brings us its request."""
    who = NameID(format=NAMEID_FORMAT_EMAILADDRESS, text=env["LOGIN"])
    _, request = idp.create_logout_request(f"{connection}/slo", sp, name_id=who, sign=False)
    url = goes(redirects(request, f"{connection}/slo", False))
    assert isinstance(url, str) and url.startswith("https://idp.example.com/slo?"), url
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    assert query["RelayState"] == "a state" and query["Signature"], query
    answer = idp.unravel(query["SAMLResponse"], BINDING_HTTP_REDIRECT, "response")
    assert b"status:Success" in answer and b"LogoutResponse" in answer, answer


def form_for_the_provider(page):
    """The fields of the form that posts our message to the provider when its button is pressed."""
    assert page.status_code == 200 and 'action="https://idp.example.com/slo"' in page.text, page.text
    assert "form-action 'self' https:;" in page.headers["content-security-policy"], page.headers
    return fields_of(page.text)


def leaves_here_by_form():
    """The same as leaves_here with a provider that supports only the POST binding."""
    page = goes(f"{env['ISSUER']}/logout")
    pending = re.search(r'name="pending" value="([^"]*)"', page.text)[1]
    fields = form_for_the_provider(browser.post(f"{env['ISSUER']}/logout", data={"pending": pending}))
    # Raises an error unless it is signed with the key in our metadata.
    request = idp.parse_logout_request(fields["SAMLRequest"], BINDING_HTTP_POST)
    assert request.message.signature and request.message.name_id.text == env["LOGIN"], request.message
    assert request.message.session_index, request.message
    answer = idp.create_logout_response(
        request.message, [BINDING_HTTP_POST], sign=True, sign_alg=SIG_RSA_SHA256, digest_alg=DIGEST_SHA256,
    )
    page = posts(answer, f"{connection}/slo", "", True)
    assert "You are signed out" in page.text, page.text


def leaves_there_by_form():
    """The same as leaves_there with the POST binding."""
    who = NameID(format=NAMEID_FORMAT_EMAILADDRESS, text=env["LOGIN"])
    _, request = idp.create_logout_request(
        f"{connection}/slo", sp, name_id=who, sign=True, sign_alg=SIG_RSA_SHA256, digest_alg=DIGEST_SHA256,
    )
    fields = form_for_the_provider(posts(request, f"{connection}/slo", "a state", False))
    assert fields["RelayState"] == "a state", fields
    answer = idp.unravel(fields["SAMLResponse"], BINDING_HTTP_POST, "response")
    said = idp.sec.correctly_signed_logout_response(answer, must=True)
    assert said.signature and said.status.status_code.value == STATUS_SUCCESS, answer


def is_signed_in():
    return env["LOGIN"] in goes(f"{env['ISSUER']}/account").text


if mode == "unrequested":
    [acs] = idp.metadata.assertion_consumer_service(sp, binding=BINDING_HTTP_POST)
    page = says(None, acs["location"])
    assert env["NAME"] in page.text, page.text
    by_form = leaving == BINDING_HTTP_POST
    (leaves_there_by_form if by_form else leaves_there)()
    assert not is_signed_in()
    says(None, acs["location"])
    (leaves_here_by_form if by_form else leaves_here)()
    assert not is_signed_in()
else:
    # The application's sign-in page asks for the organization, and redirects to its provider.
    page = goes(env["APPLICATION"])
    pending = re.search(r'name="pending" value="([^"]*)"', page.text)[1]
    sent = browser.post(f"{env['ISSUER']}/saml", data={"pending": pending, "email": env["LOGIN"]})
    assert sent.status_code == 200, sent.text
    url = sent.headers["refresh"].removeprefix("0; url=")
    assert url.startswith("https://idp.example.com/sso?"), url
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))
    # Raises an error unless it is signed with the key in our metadata.
    request = idp.parse_authn_request(
        query["SAMLRequest"], BINDING_HTTP_REDIRECT,
        sigalg=query["SigAlg"], signature=query["Signature"],
    )
    assert request.message.issuer.text == sp, request.message
    answer = idp.response_args(request.message)
    back = says(answer["in_response_to"], answer["destination"])
    assert isinstance(back, str) and back.startswith(env["BACK"]) and "code=" in back, back
print("ok")
