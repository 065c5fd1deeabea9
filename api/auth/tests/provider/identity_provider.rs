//! An identity provider, honest or malicious. It writes assertions in canonical form and signs that very text, so that it shares no code
//! with the verifier except for the signature algorithm itself. The gateway's tests use it, too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use saml::{Certificate, SigningKey};
use sha2::{Digest, Sha256};

pub const ENTITY: &str = "https://idp.example.com/metadata";
pub const SSO: &str = "https://idp.example.com/sso";
pub const SLO: &str = "https://idp.example.com/slo";
pub const ADA: &str = "ada@example.com";

const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
const SHA256: &str = "http://www.w3.org/2001/04/xmlenc#sha256";

/// The clock of an identity provider.
pub trait Timed {
    fn time(&self) -> DateTime<Utc>;
}

/// An identity provider with a key.
pub struct Idp {
    pub key: SigningKey,
    pub certificate: Certificate,
}

/// The service provider (our side), as the identity provider knows it.
#[derive(Clone)]
pub struct Sp {
    /// The id of the connection.
    pub id: String,
    pub entity_id: String,
    pub acs: String,
}

/// The content of a response and its assertion.
#[derive(Clone)]
pub struct Words {
    pub id: String,
    pub issuer: String,
    pub audience: String,
    pub recipient: String,
    pub destination: Option<String>,
    pub in_response_to: Option<String>,
    pub authenticated_at: DateTime<Utc>,
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// The content of the NameID, as XML.
    pub name_id: String,
    /// Values of the attribute `groups`.
    pub groups: Vec<String>,
    /// The session index.
    pub session: Option<String>,
    pub status: String,
    /// The algorithms of signature and digest.
    pub algorithms: (String, String),
}

impl Idp {
    pub fn new(world: &impl Timed) -> Self {
        let made = SigningKey::generate("idp.example.com", world.time()).unwrap();
        Self { key: SigningKey::from_pkcs8(&made.private).unwrap(), certificate: made.certificate }
    }

    pub fn metadata(&self) -> String {
        format!(
            "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{ENTITY}\"><IDPSSODescriptor \
             protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\"><KeyDescriptor use=\"signing\"><KeyInfo \
             xmlns=\"{DS}\"><X509Data><X509Certificate>{}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>\
             <SingleLogoutService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" Location=\"{SLO}\"/>\
             <SingleSignOnService Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect\" \
             Location=\"{SSO}\"/></IDPSSODescriptor></EntityDescriptor>",
            self.certificate.to_base64()
        )
    }

    /// The signature of an element with this canonical form (without the signature).
    pub fn signature(&self, id: &str, canonical: &str, (method, digest): &(String, String)) -> String {
        let value = STANDARD.encode(Sha256::digest(canonical));
        let exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#";
        let info = |space: &str| {
            format!(
                "<ds:SignedInfo{space}><ds:CanonicalizationMethod Algorithm=\"{exclusive}\"></ds:CanonicalizationMethod>\
                 <ds:SignatureMethod Algorithm=\"{method}\"></ds:SignatureMethod><ds:Reference URI=\"#{id}\"><ds:Transforms>\
                 <ds:Transform Algorithm=\"{DS}enveloped-signature\"></ds:Transform><ds:Transform \
                 Algorithm=\"{exclusive}\"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm=\"{digest}\">\
                 </ds:DigestMethod><ds:DigestValue>{value}</ds:DigestValue></ds:Reference></ds:SignedInfo>"
            )
        };
        let signed = self.key.sign(info(&format!(" xmlns:ds=\"{DS}\"")).as_bytes()).unwrap();
        format!(
            "<ds:Signature xmlns:ds=\"{DS}\">{}<ds:SignatureValue>{}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>\
             <ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>",
            info(""),
            STANDARD.encode(signed),
            self.certificate.to_base64(),
        )
    }

    /// The signature of the assertion.
    pub fn signs(&self, words: &Words) -> String {
        self.signature(&words.id, &words.assertion(""), &words.algorithms)
    }

    /// A response with the signed assertion.
    pub fn says(&self, words: &Words) -> String {
        words.response(&words.assertion(&self.signs(words)))
    }
}

impl Words {
    /// An assertion about Ada, in response to a request.
    pub fn new(world: &impl Timed, sp: &Sp, in_response_to: Option<&str>) -> Self {
        let now = world.time();
        Self {
            id: format!("_{}", uuid()),
            issuer: ENTITY.to_owned(),
            audience: sp.entity_id.clone(),
            recipient: sp.acs.clone(),
            destination: Some(sp.acs.clone()),
            in_response_to: in_response_to.map(str::to_owned),
            authenticated_at: now,
            from: now - TimeDelta::minutes(1),
            until: now + TimeDelta::minutes(5),
            name_id: ADA.to_owned(),
            groups: vec!["staff".to_owned()],
            session: None,
            status: "urn:oasis:names:tc:SAML:2.0:status:Success".to_owned(),
            algorithms: algorithms(),
        }
    }

    /// The assertion in canonical form, with this text as its signature.
    pub fn assertion(&self, signature: &str) -> String {
        let Self { id, issuer, audience, recipient, name_id, .. } = self;
        let (from, until, signed_in) = (time(self.from), time(self.until), time(self.authenticated_at));
        let asked = self.asked();
        let session = self.session.as_ref().map(|name| format!(" SessionIndex=\"{name}\"")).unwrap_or_default();
        let values = self.groups.iter().map(|group| format!("<saml:AttributeValue>{group}</saml:AttributeValue>"));
        let groups = values.collect::<Vec<_>>().concat();
        format!(
            "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"{id}\" IssueInstant=\"{signed_in}\" \
             Version=\"2.0\"><saml:Issuer>{issuer}</saml:Issuer>{signature}<saml:Subject><saml:NameID \
             Format=\"urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress\">{name_id}</saml:NameID>\
             <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\"><saml:SubjectConfirmationData\
             {asked} NotOnOrAfter=\"{until}\" Recipient=\"{recipient}\"></saml:SubjectConfirmationData>\
             </saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore=\"{from}\" NotOnOrAfter=\"{until}\">\
             <saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction>\
             </saml:Conditions><saml:AuthnStatement AuthnInstant=\"{signed_in}\"{session}><saml:AuthnContext>\
             <saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef>\
             </saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement><saml:Attribute Name=\"groups\">{groups}\
             </saml:Attribute></saml:AttributeStatement></saml:Assertion>"
        )
    }

    /// A response around this text, in canonical form if the text is.
    pub fn response(&self, inside: &str) -> String {
        self.response_with("_response", &self.status(""), inside)
    }

    /// A response with another id, and with this text before the assertion.
    pub fn response_with(&self, id: &str, before: &str, inside: &str) -> String {
        let destination = self.destination.as_ref().map(|to| format!(" Destination=\"{to}\"")).unwrap_or_default();
        let asked = self.asked();
        let at = time(self.authenticated_at);
        format!(
            "<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"{destination} ID=\"{id}\"{asked} \
             IssueInstant=\"{at}\" Version=\"2.0\">{before}{inside}</samlp:Response>"
        )
    }

    /// The status element.
    pub fn status(&self, more: &str) -> String {
        format!("<samlp:Status><samlp:StatusCode Value=\"{}\"></samlp:StatusCode>{more}</samlp:Status>", self.status)
    }

    fn asked(&self) -> String {
        self.in_response_to.as_ref().map(|id| format!(" InResponseTo=\"{id}\"")).unwrap_or_default()
    }
}

/// The algorithms with which an honest provider signs.
pub fn algorithms() -> (String, String) {
    (RSA_SHA256.to_owned(), SHA256.to_owned())
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn uuid() -> String {
    use kernel::IdSource;
    kernel::SystemIds.next().to_string()
}
