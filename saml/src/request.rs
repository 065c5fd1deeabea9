//! Sign-in requests (`AuthnRequest`) in redirects (bindings, section 3.4).

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::SecondsFormat;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use uppsala::XmlWriter;
use url::form_urlencoded::Serializer;

use crate::names::{ASSERTION, POST, PROTOCOL, RSA_SHA256};
use crate::{Fault, IdentityProvider, Own, SignInRequest, SigningKey};

/// The provider's URL with a signed sign-in request.
pub(crate) fn redirect(
    own: &Own,
    provider: &IdentityProvider,
    request: &SignInRequest<'_>,
    key: &SigningKey,
) -> Result<String, Fault> {
    signed(&provider.sign_in_url, ("SAMLRequest", &document(own, provider, request)), None, key)
}

/// A URL with a signed message.
pub(crate) fn signed(
    url: &str,
    (name, document): (&str, &str),
    relay_state: Option<&str>,
    key: &SigningKey,
) -> Result<String, Fault> {
    let message = STANDARD.encode(deflated(document)?);
    // The signature covers the query as it is sent, with the parameters in this order.
    let query = [(name, message.as_str())].into_iter().chain(relay_state.map(|text| ("RelayState", text)));
    let signed = Serializer::new(String::new()).extend_pairs(query).append_pair("SigAlg", RSA_SHA256).finish();
    let signature = STANDARD.encode(key.sign(signed.as_bytes())?);
    let signature = Serializer::new(String::new()).append_pair("Signature", &signature).finish();
    let join = if url.contains('?') { '&' } else { '?' };
    Ok(format!("{url}{join}{signed}&{signature}"))
}

fn document(own: &Own, provider: &IdentityProvider, request: &SignInRequest<'_>) -> String {
    let at = request.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut attributes = vec![
        ("xmlns:samlp", PROTOCOL),
        ("xmlns:saml", ASSERTION),
        ("ID", request.id),
        ("Version", "2.0"),
        ("IssueInstant", &at),
        ("Destination", &provider.sign_in_url),
        ("ProtocolBinding", POST),
        ("AssertionConsumerServiceURL", &own.acs),
    ];
    if request.fresh {
        attributes.push(("ForceAuthn", "true"));
    }
    let mut xml = XmlWriter::new();
    xml.start_element("samlp:AuthnRequest", &attributes);
    xml.start_element("saml:Issuer", &[]);
    xml.text(&own.entity_id);
    xml.end_element("saml:Issuer");
    xml.empty_element("samlp:NameIDPolicy", &[("AllowCreate", "true")]);
    xml.end_element("samlp:AuthnRequest");
    xml.into_string()
}

fn deflated(text: &str) -> Result<Vec<u8>, Fault> {
    let mut deflater = DeflateEncoder::new(Vec::new(), Compression::default());
    deflater.write_all(text.as_bytes()).and_then(|()| deflater.finish()).map_err(|_| Fault::Key)
}
