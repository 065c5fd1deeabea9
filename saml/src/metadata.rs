//! SAML metadata: reading a provider's, and writing ours.

use uppsala::XmlWriter;
use url::Url;

use crate::names::{EMAIL, METADATA, POST, PROTOCOL, REDIRECT, SIGNATURE};
use crate::xml::{self, Node};
use crate::{Certificate, Fault, Own, PublicKeys, encryption};

/// The maximum size of a provider's metadata, in bytes.
pub const MOST_METADATA: usize = 192 << 10;

/// The maximum number of certificates. A provider has two while it replaces its certificate.
const MOST_CERTIFICATES: usize = 8;

/// The maximum length of an entity id (core, section 8.3.6) and of a URL.
const LONGEST: usize = 1_024;

/// An identity provider, as a tenant configured it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityProvider {
    /// Its entity id: the issuer of assertions.
    pub entity_id: String,
    /// The URL for sign-in requests, by redirect.
    pub sign_in_url: String,
    /// The URL for logout messages; `None` if it does not support single logout.
    pub sign_out_url: Option<String>,
    /// Whether logout messages are sent by POST, because it does not support redirects.
    pub sign_out_by_post: bool,
    /// The URL for answers to its logout requests, if it is another one.
    pub sign_out_answer_url: Option<String>,
    /// The certificates of its signing keys. Without any, nothing is accepted from it.
    pub certificates: Vec<Certificate>,
}

impl IdentityProvider {
    /// Reads a provider's metadata: a document with one entity. A signature of the metadata is not verified, because the person who
    /// configures the provider is trusted.
    ///
    /// # Errors
    /// [`Fault::Metadata`], [`Fault::Certificate`], or the fault of an invalid document.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let document = xml::parse(text, MOST_METADATA)?;
        let entity = Node::root(&document, METADATA, "EntityDescriptor")
            .map_err(|_| Fault::Metadata("it has to be the EntityDescriptor of one identity provider"))?;
        let entity_id = entity.attribute("entityID").filter(|id| is_uri(id));
        let entity_id = entity_id.ok_or(Fault::Metadata(
            "its entityID has to be a URI of 1 to 1024 characters of ASCII, without spaces and control characters",
        ))?;
        let descriptor = entity
            .only(METADATA, "IDPSSODescriptor")
            .map_err(|_| Fault::Metadata("it has to have one IDPSSODescriptor"))?;
        let protocols = descriptor.attribute("protocolSupportEnumeration").unwrap_or_default();
        if !protocols.split_ascii_whitespace().any(|protocol| protocol == PROTOCOL) {
            return Err(Fault::Metadata("the provider does not speak SAML 2.0"));
        }
        let mut services = descriptor.each(METADATA, "SingleSignOnService");
        let by_redirect = services.find(|service| service.attribute("Binding") == Some(REDIRECT));
        let sign_in_url = by_redirect
            .and_then(|service| service.attribute("Location"))
            .filter(|location| is_address(location))
            .ok_or(Fault::Metadata(
                "it has no SingleSignOnService by HTTP-Redirect at an https address without spaces, user and fragment",
            ))?;
        let by = |binding: &str| {
            let mut services = descriptor.each(METADATA, "SingleLogoutService");
            services.find(|service| {
                let location = service.attribute("Location");
                service.attribute("Binding") == Some(binding) && location.is_some_and(is_address)
            })
        };
        // A redirect is preferred, because a POST may need a click.
        let by_redirect = by(REDIRECT);
        let sign_out = by_redirect.or_else(|| by(POST));
        let address = |name: &str| {
            let location = sign_out.and_then(|service| service.attribute(name));
            location.filter(|location| is_address(location)).map(str::to_owned)
        };
        Ok(Self {
            entity_id: entity_id.to_owned(),
            sign_in_url: sign_in_url.to_owned(),
            sign_out_url: address("Location"),
            sign_out_by_post: by_redirect.is_none() && sign_out.is_some(),
            sign_out_answer_url: address("ResponseLocation"),
            certificates: certificates(descriptor)?,
        })
    }
}

/// Whether a text has only characters that a URI may have (RFC 3986), so that none is invisible or displayed as another one.
fn is_uri(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a URL may be used: https, or http on the person's own machine. Only browsers open it.
fn is_address(location: &str) -> bool {
    let Ok(url) = Url::parse(location) else { return false };
    if !is_uri(location) || url.port() == Some(0) {
        return false;
    }
    let loopback = ["127.0.0.1", "[::1]", "localhost"].contains(&url.host_str().unwrap_or_default());
    let scheme = url.scheme() == "https" || (url.scheme() == "http" && loopback);
    scheme && url.username().is_empty() && url.fragment().is_none()
}

/// The certificates for signing.
fn certificates(descriptor: Node<'_>) -> Result<Vec<Certificate>, Fault> {
    let mut found: Vec<Certificate> = Vec::new();
    for key in descriptor.each(METADATA, "KeyDescriptor") {
        if key.attribute("use").is_some_and(|used| used != "signing") {
            continue;
        }
        let info = key.only(SIGNATURE, "KeyInfo")?;
        for certificate in info.each(SIGNATURE, "X509Data").flat_map(|data| data.each(SIGNATURE, "X509Certificate")) {
            let certificate = Certificate::from_base64(&certificate.text()?)?;
            if !found.contains(&certificate) {
                found.push(certificate);
            }
        }
    }
    match found.len() {
        0 => Err(Fault::Metadata("it has no certificate for signing")),
        1..=MOST_CERTIFICATES => Ok(found),
        _ => Err(Fault::Metadata("it has more than eight certificates for signing")),
    }
}

/// Our metadata.
pub(crate) fn of_ours(own: &Own, keys: PublicKeys<'_>) -> String {
    let mut xml = XmlWriter::new();
    xml.write_declaration();
    xml.start_element("md:EntityDescriptor", &[("xmlns:md", METADATA), ("entityID", &own.entity_id)]);
    xml.start_element(
        "md:SPSSODescriptor",
        &[("AuthnRequestsSigned", "true"), ("WantAssertionsSigned", "true"), ("protocolSupportEnumeration", PROTOCOL)],
    );
    for (used, certificate) in [("signing", keys.signing), ("encryption", keys.encryption)] {
        xml.start_element("md:KeyDescriptor", &[("use", used)]);
        xml.start_element("ds:KeyInfo", &[("xmlns:ds", SIGNATURE)]);
        xml.start_element("ds:X509Data", &[]);
        xml.start_element("ds:X509Certificate", &[]);
        xml.text(&certificate.to_base64());
        for name in ["ds:X509Certificate", "ds:X509Data", "ds:KeyInfo"] {
            xml.end_element(name);
        }
        for method in encryption::taken().filter(|_| used == "encryption") {
            xml.empty_element("md:EncryptionMethod", &[("Algorithm", method)]);
        }
        xml.end_element("md:KeyDescriptor");
    }
    for binding in [REDIRECT, POST] {
        xml.empty_element("md:SingleLogoutService", &[("Binding", binding), ("Location", own.slo.as_str())]);
    }
    xml.start_element("md:NameIDFormat", &[]);
    xml.text(EMAIL);
    xml.end_element("md:NameIDFormat");
    let consumer = [("Binding", POST), ("Location", own.acs.as_str()), ("index", "0"), ("isDefault", "true")];
    xml.empty_element("md:AssertionConsumerService", &consumer);
    xml.end_element("md:SPSSODescriptor");
    xml.end_element("md:EntityDescriptor");
    xml.into_string()
}
