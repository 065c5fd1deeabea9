//! Single logout (Single Logout profile, over HTTP-Redirect and HTTP-POST): our requests and answers to a provider, and the verification of
//! its requests and answers.
//!
//! A message in a redirect is deflated, and its signature covers the query string, not the XML: the query is verified before anything in it
//! is inflated. A message in a form is signed as XML, as a whole, by the same rules as responses.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use flate2::read::DeflateDecoder;
use serde::{Deserialize, Serialize};
use uppsala::XmlWriter;
use url::form_urlencoded;

use crate::delivery::Message;
use crate::names::{ASSERTION, PARTIAL_LOGOUT, PROTOCOL, RESPONDER, SIGNATURE, SUCCESS};
use crate::response::time;
use crate::xml::{self, Node};
use crate::{DecryptionKey, Delivery, Fault, IdentityProvider, NameId, Own, SigningKey, signature};

/// The maximum size of a message in a redirect, in bytes, both deflated and inflated.
const MOST: usize = 16 << 10;

/// The maximum size of a message in a form, in bytes, before and after base64. It includes the signature.
const MOST_POSTED: usize = 24 << 10;

/// The maximum size of `RelayState` in a form, in bytes. (80 are allowed: bindings, section 3.5.3.)
const MOST_RELAY_STATE: usize = 1 << 10;

/// The fault if a redirect or a form has none or both of the two.
const ONE_OF_TWO: Fault = Fault::Structure("there has to be one of SAMLRequest and SAMLResponse");

/// The maximum age of a message. The browser delivers it at once.
const FRESH: TimeDelta = TimeDelta::minutes(5);

/// The maximum number of sessions in a request.
const MOST_SESSIONS: usize = 32;

/// A request to a provider to sign a person out.
#[derive(Clone)]
pub struct LogoutRequest<'a> {
    /// The request's id.
    pub id: &'a str,
    /// When it is made.
    pub at: DateTime<Utc>,
    /// The name with which the provider identified the person.
    pub name: &'a NameId,
    /// The provider's session index at that time.
    pub session: Option<&'a str>,
}

/// An answer to a provider's logout request.
#[derive(Clone, Debug)]
pub struct LogoutAnswer<'a> {
    /// The answer's id.
    pub id: &'a str,
    /// When it is made.
    pub at: DateTime<Utc>,
    /// The id of the request.
    pub to: &'a str,
    /// Whether all sessions that the request names have ended here.
    pub done: bool,
    /// The request's `RelayState`, which has to be returned unchanged.
    pub relay_state: Option<&'a str>,
}

/// What a logout message is checked against.
#[derive(Clone, Copy, Debug)]
pub struct LogoutContext<'e> {
    /// Our identity.
    pub own: &'e Own,
    /// The provider that must have sent it.
    pub provider: &'e IdentityProvider,
    /// The key for encrypted names; `None` if we published no encryption key.
    pub key: Option<&'e DecryptionKey>,
    /// The current time.
    pub now: DateTime<Utc>,
    /// The tolerated difference of clocks.
    pub skew: TimeDelta,
}

/// The fields of a posted form.
#[derive(Clone, Copy)]
pub struct PostedLogout<'f> {
    /// The field `SAMLRequest`.
    pub request: Option<&'f str>,
    /// The field `SAMLResponse`.
    pub response: Option<&'f str>,
    /// The field `RelayState`.
    pub relay_state: Option<&'f str>,
}

/// A verified logout message of a provider.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogoutMessage {
    /// A logout request.
    Asked {
        /// The request's id.
        id: String,
        /// When it was made. It does not concern sessions that began later.
        at: DateTime<Utc>,
        /// The person.
        name: NameId,
        /// The provider's session indexes; empty: all of the person's sessions.
        sessions: Vec<String>,
        /// The `RelayState` that has to be returned with the answer.
        relay_state: Option<String>,
    },
    /// An answer to our request.
    Answered {
        /// The id of our request.
        to: String,
        /// Whether the provider signed the person out everywhere.
        done: bool,
    },
}

/// Creates a logout request.
pub(crate) fn ask(
    own: &Own,
    provider: &IdentityProvider,
    request: &LogoutRequest<'_>,
    key: &SigningKey,
) -> Result<Delivery, Fault> {
    let url = provider.sign_out_url.as_deref().ok_or(Fault::Metadata("it has no SingleLogoutService"))?;
    let mut xml = message("samlp:LogoutRequest", own, url, request.id, request.at, None);
    let format: Vec<_> = request.name.format.iter().map(|format| ("Format", format.as_str())).collect();
    xml.start_element("saml:NameID", &format);
    xml.text(&request.name.value);
    xml.end_element("saml:NameID");
    if let Some(session) = request.session {
        xml.start_element("samlp:SessionIndex", &[]);
        xml.text(session);
        xml.end_element("samlp:SessionIndex");
    }
    xml.end_element("samlp:LogoutRequest");
    let asked = Message { kind: "SAMLRequest", id: request.id, document: xml.into_string(), relay_state: None };
    asked.deliver(url, provider.sign_out_by_post, key)
}

/// Creates the answer to a logout request.
pub(crate) fn answer(
    own: &Own,
    provider: &IdentityProvider,
    answered: &LogoutAnswer<'_>,
    key: &SigningKey,
) -> Result<Delivery, Fault> {
    let url = provider.sign_out_answer_url.as_deref().or(provider.sign_out_url.as_deref());
    let url = url.ok_or(Fault::Metadata("it has no SingleLogoutService"))?;
    let mut xml = message("samlp:LogoutResponse", own, url, answered.id, answered.at, Some(answered.to));
    xml.start_element("samlp:Status", &[]);
    if answered.done {
        xml.empty_element("samlp:StatusCode", &[("Value", SUCCESS)]);
    } else {
        xml.start_element("samlp:StatusCode", &[("Value", RESPONDER)]);
        xml.empty_element("samlp:StatusCode", &[("Value", PARTIAL_LOGOUT)]);
        xml.end_element("samlp:StatusCode");
    }
    xml.end_element("samlp:Status");
    xml.end_element("samlp:LogoutResponse");
    let LogoutAnswer { id, relay_state, .. } = *answered;
    let answer = Message { kind: "SAMLResponse", id, document: xml.into_string(), relay_state };
    answer.deliver(url, provider.sign_out_by_post, key)
}

fn message(name: &str, own: &Own, to: &str, id: &str, at: DateTime<Utc>, answers: Option<&str>) -> XmlWriter {
    let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut attributes = vec![
        ("xmlns:samlp", PROTOCOL),
        ("xmlns:saml", ASSERTION),
        ("ID", id),
        ("Version", "2.0"),
        ("IssueInstant", &at),
        ("Destination", to),
    ];
    attributes.extend(answers.map(|id| ("InResponseTo", id)));
    let mut xml = XmlWriter::new();
    xml.start_element(name, &attributes);
    xml.start_element("saml:Issuer", &[]);
    xml.text(&own.entity_id);
    xml.end_element("saml:Issuer");
    xml
}

/// The parameters of a message in a redirect, as sent (percent-encoded).
struct RedirectQuery<'q> {
    /// `SAMLRequest` or `SAMLResponse`.
    kind: &'static str,
    message: &'q str,
    relay_state: Option<&'q str>,
    algorithm: &'q str,
    signature: &'q str,
}

/// Verifies and reads a logout message from a query string.
pub(crate) fn read_redirect(query: &str, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault> {
    if query.len() > MOST {
        return Err(Fault::TooLong { most: MOST });
    }
    let sent = RedirectQuery::read(query)?;
    sent.verify(context)?;
    let bytes = STANDARD.decode(decoded(sent.message)).map_err(|_| Fault::NotBase64)?;
    let mut text = String::new();
    let inflated = DeflateDecoder::new(&*bytes).take(MOST as u64 + 1).read_to_string(&mut text);
    inflated.map_err(|_| Fault::NotXml)?;
    let document = xml::parse(&text, MOST)?;
    let name = if sent.kind == "SAMLRequest" { "LogoutRequest" } else { "LogoutResponse" };
    read(Node::root(&document, PROTOCOL, name)?, sent.relay_state.map(decoded), context)
}

/// Verifies and reads a logout message from a posted form.
pub(crate) fn read_posted(posted: &PostedLogout<'_>, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault> {
    let (name, message) = match (posted.request, posted.response) {
        (Some(message), None) => ("LogoutRequest", message),
        (None, Some(message)) => ("LogoutResponse", message),
        _ => return Err(ONE_OF_TWO),
    };
    if posted.relay_state.is_some_and(|text| text.len() > MOST_RELAY_STATE) {
        return Err(Fault::TooLong { most: MOST_RELAY_STATE });
    }
    let text = xml::of_field(message, MOST_POSTED)?;
    let document = xml::parse(&text, MOST_POSTED)?;
    let said = Node::root(&document, PROTOCOL, name)?;
    // There must be exactly one signature, which covers the whole message. A signature of a part says nothing about the rest.
    let signature = signature::of(said)?.ok_or(Fault::NotSigned)?;
    if Node::anywhere(&document, SIGNATURE, "Signature").len() != 1 {
        return Err(Fault::Structure("a signature is where it does not belong"));
    }
    signature::verify(said, signature, &context.provider.certificates)?;
    read(said, posted.relay_state.map(str::to_owned), context)
}

/// Reads a message whose signature was verified.
fn read(said: Node<'_>, relay_state: Option<String>, context: &LogoutContext<'_>) -> Result<LogoutMessage, Fault> {
    let at = check(said, context)?;
    if said.is(PROTOCOL, "LogoutResponse") {
        let to = said.attribute("InResponseTo").ok_or(Fault::Request)?.to_owned();
        let status = said.only(PROTOCOL, "Status")?.only(PROTOCOL, "StatusCode")?;
        return Ok(LogoutMessage::Answered { to, done: status.attribute("Value") == Some(SUCCESS) });
    }
    let id = said.attribute("ID").filter(|id| !id.is_empty()).ok_or(Fault::Structure("an ID is missing"))?;
    let name = NameId::of(said, context.key)?;
    let sessions: Vec<String> = said.each(PROTOCOL, "SessionIndex").map(Node::text).collect::<Result<_, _>>()?;
    if sessions.len() > MOST_SESSIONS {
        return Err(Fault::Structure("it names too many sessions"));
    }
    Ok(LogoutMessage::Asked { id: id.to_owned(), at, name, sessions, relay_state })
}

/// Checks issuer, destination and age. Returns when the message was made.
fn check(said: Node<'_>, context: &LogoutContext<'_>) -> Result<DateTime<Utc>, Fault> {
    if said.attribute("Version") != Some("2.0") {
        return Err(Fault::Structure("it is another version of SAML than 2.0"));
    }
    if said.only(ASSERTION, "Issuer")?.text()? != context.provider.entity_id {
        return Err(Fault::Issuer);
    }
    if said.attribute("Destination") != Some(&context.own.slo) {
        return Err(Fault::Destination);
    }
    let (now, skew) = (context.now, context.skew);
    let made = time(said.attribute("IssueInstant").ok_or(Fault::Time)?)?;
    let over = said.attribute("NotOnOrAfter").map(time).transpose()?;
    if made > now + skew || now - skew >= made + FRESH || over.is_some_and(|over| now - skew >= over) {
        return Err(Fault::Time);
    }
    Ok(made)
}

impl<'q> RedirectQuery<'q> {
    fn read(query: &'q str) -> Result<Self, Fault> {
        let only = |name: &str| {
            let mut found =
                query.split('&').filter_map(|pair| pair.split_once('=')).filter(|(known, _)| *known == name);
            match (found.next(), found.next()) {
                (found, None) => Ok(found.map(|(_, value)| value)),
                _ => Err(Fault::Structure("a parameter is there twice")),
            }
        };
        let (kind, message) = match (only("SAMLRequest")?, only("SAMLResponse")?) {
            (Some(message), None) => ("SAMLRequest", message),
            (None, Some(message)) => ("SAMLResponse", message),
            _ => return Err(ONE_OF_TWO),
        };
        let (Some(algorithm), Some(signature)) = (only("SigAlg")?, only("Signature")?) else {
            return Err(Fault::NotSigned);
        };
        Ok(Self { kind, message, relay_state: only("RelayState")?, algorithm, signature })
    }

    /// Verifies the signature over the query as sent, with its parameters in the order that is signed (bindings, section 3.4.4.1).
    fn verify(&self, context: &LogoutContext<'_>) -> Result<(), Fault> {
        let certificates = &context.provider.certificates;
        if certificates.is_empty() {
            return Err(Fault::NoCertificate);
        }
        let method = decoded(self.algorithm);
        if !crate::certificate::is_taken(&method) {
            return Err(Fault::Algorithm("SigAlg has to be RSA or ECDSA with SHA-256 or longer"));
        }
        let relay_state = self.relay_state.map(|text| format!("&RelayState={text}")).unwrap_or_default();
        let signed = format!("{}={}{relay_state}&SigAlg={}", self.kind, self.message, self.algorithm);
        let signature = STANDARD.decode(decoded(self.signature)).map_err(|_| Fault::Signature)?;
        let is_good = |certificate: &crate::Certificate| certificate.verifies(&method, signed.as_bytes(), &signature);
        if certificates.iter().any(is_good) { Ok(()) } else { Err(Fault::Signature) }
    }
}

/// Decodes a percent-encoded value.
fn decoded(text: &str) -> String {
    form_urlencoded::parse(format!("v={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}
