//! XML signatures, restricted to the form that SAML allows (core, section 5.4): one enveloped signature in the element that is read, with
//! one reference, by id, to this element, and with the transforms that SAML names. So the verified node is the node that is read, whatever
//! else the document contains. Our own messages are signed in this form, too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bergshamra_c14n::{C14nMode, canonicalize_doc};
use bergshamra_xml::nodeset::NodeSet;
use ring::digest::{SHA256, SHA384, SHA512, digest};
use uppsala::{Document, NodeId, XmlWriter};

use crate::certificate::is_taken;
use crate::names::{ENVELOPED, EXCLUSIVE, RSA_SHA256, SIGNATURE};
use crate::xml::{self, Node};
use crate::{Certificate, Fault, SigningKey};

/// Signatures are inserted after this element (core, sections 3.2.1 and 3.2.2).
const ISSUER_END: &str = "</saml:Issuer>";

/// The supported digest algorithms. We sign with the first one.
const DIGESTS: [(&str, &ring::digest::Algorithm); 3] = [
    ("http://www.w3.org/2001/04/xmlenc#sha256", &SHA256),
    ("http://www.w3.org/2001/04/xmldsig-more#sha384", &SHA384),
    ("http://www.w3.org/2001/04/xmlenc#sha512", &SHA512),
];

/// The signature that is a child of this element, if there is one.
pub(crate) fn of(element: Node<'_>) -> Result<Option<Node<'_>>, Fault> {
    element.perhaps(SIGNATURE, "Signature")
}

/// Verifies that the whole element was signed by the key of one of these certificates, with this signature inside it.
///
/// # Errors
/// Why it is not accepted. Then nothing of the element may be used.
pub(crate) fn verify(element: Node<'_>, signature: Node<'_>, certificates: &[Certificate]) -> Result<(), Fault> {
    if certificates.is_empty() {
        return Err(Fault::NoCertificate);
    }
    let known = ["SignedInfo", "SignatureValue", "KeyInfo"];
    if !signature.elements().all(|child| known.iter().any(|name| child.is(SIGNATURE, name))) {
        return Err(Fault::Algorithm("it holds more than SignedInfo, SignatureValue and KeyInfo"));
    }
    let signed = signature.only(SIGNATURE, "SignedInfo")?;
    let parts = ["CanonicalizationMethod", "SignatureMethod", "Reference"];
    if !signed.elements().all(|child| parts.iter().any(|name| child.is(SIGNATURE, name))) {
        return Err(Fault::Algorithm("SignedInfo holds what it should not"));
    }
    // First the digest, which shows that the signed content is this element; then the signature.
    reference(element, signature, signed.only(SIGNATURE, "Reference")?)?;
    let method = algorithm(signed.only(SIGNATURE, "SignatureMethod")?)?;
    if !is_taken(method) {
        return Err(Fault::Algorithm("SignatureMethod has to be RSA or ECDSA with SHA-256 or longer"));
    }
    let prefixes = exclusive(signed.only(SIGNATURE, "CanonicalizationMethod")?)?;
    let message = canonical(signed, None, &prefixes)?;
    let value = base64(signature.only(SIGNATURE, "SignatureValue")?)?;
    // `KeyInfo` is ignored: a document must not choose the key by which it is verified.
    if certificates.iter().any(|certificate| certificate.verifies(method, &message, &value)) {
        return Ok(());
    }
    Err(Fault::Signature)
}

/// Verifies that the reference is to this element, and its digest.
fn reference(element: Node<'_>, signature: Node<'_>, reference: Node<'_>) -> Result<(), Fault> {
    let id = element.attribute("ID").filter(|id| !id.is_empty()).ok_or(Fault::Structure("an ID is missing"))?;
    if reference.attribute("URI").and_then(|uri| uri.strip_prefix('#')) != Some(id) {
        return Err(Fault::NotSigned);
    }
    let transforms = reference.only(SIGNATURE, "Transforms")?;
    let mut steps = transforms.elements();
    let (Some(enveloped), Some(canonicalization), None) = (steps.next(), steps.next(), steps.next()) else {
        return Err(Fault::Algorithm("the transforms have to be enveloped-signature and exclusive canonicalization"));
    };
    if algorithm(enveloped)? != ENVELOPED {
        return Err(Fault::Algorithm("the first transform has to be enveloped-signature"));
    }
    let prefixes = exclusive(canonicalization)?;
    let method = algorithm(reference.only(SIGNATURE, "DigestMethod")?)?;
    let Some((_, algorithm)) = DIGESTS.iter().find(|(name, _)| *name == method) else {
        return Err(Fault::Algorithm("DigestMethod has to be SHA-256 or longer"));
    };
    let found = digest(algorithm, &canonical(element, Some(signature.id), &prefixes)?);
    if found.as_ref() != base64(reference.only(SIGNATURE, "DigestValue")?)?.as_slice() {
        return Err(Fault::Signature);
    }
    Ok(())
}

/// The algorithm that an element names. Parameters are refused, except for the canonical form.
fn algorithm(element: Node<'_>) -> Result<&str, Fault> {
    let named = element.attribute("Algorithm").ok_or(Fault::Structure("an Algorithm is missing"))?;
    if named != EXCLUSIVE && element.elements().next().is_some() {
        return Err(Fault::Algorithm("an algorithm has parameters that it should not have"));
    }
    Ok(named)
}

/// The prefixes in the parameters of the canonical form, which must be exclusive canonicalization without comments.
fn exclusive(element: Node<'_>) -> Result<Vec<String>, Fault> {
    if algorithm(element)? != EXCLUSIVE {
        return Err(Fault::Algorithm("the canonical form has to be the exclusive one, without comments"));
    }
    let mut parameters = element.elements();
    let Some(inclusive) = parameters.next() else { return Ok(Vec::new()) };
    if !inclusive.is(EXCLUSIVE, "InclusiveNamespaces") || parameters.next().is_some() {
        return Err(Fault::Algorithm("the canonical form has parameters that it should not have"));
    }
    let list = inclusive.attribute("PrefixList").unwrap_or_default();
    Ok(list.split_ascii_whitespace().map(str::to_owned).collect())
}

/// The canonical form of an element, without comments and without the signature in it.
fn canonical(element: Node<'_>, without: Option<NodeId>, prefixes: &[String]) -> Result<Vec<u8>, Fault> {
    let document = element.document;
    let mut nodes = NodeSet::tree_without_comments(element.id, document);
    if let Some(signature) = without {
        remove(&mut nodes, document, signature);
    }
    canonicalize_doc(document, C14nMode::Exclusive, Some(&nodes), prefixes)
        .map_err(|_| Fault::Structure("it has no canonical form"))
}

fn remove(nodes: &mut NodeSet, document: &Document<'_>, id: NodeId) {
    nodes.remove_id(id);
    for id in document.descendants(id) {
        nodes.remove_id(id);
    }
}

/// Signs our own message. `unsigned` is the document, whose element has the id `id` and begins with `saml:Issuer`.
///
/// # Errors
/// [`Fault::Key`] if it can't be signed.
pub(crate) fn sign(unsigned: &str, id: &str, key: &SigningKey) -> Result<String, Fault> {
    let (method, with) = DIGESTS[0];
    let info = signed_info(id, method, &STANDARD.encode(digest(with, &canonical_form(unsigned)?)));
    let value = STANDARD.encode(key.sign(&canonical_form(&info)?)?);
    // Our certificate is not included: the provider has it from our metadata, and must not trust any other.
    let signature = format!(
        "<ds:Signature xmlns:ds=\"{SIGNATURE}\">{info}<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>"
    );
    let (before, behind) = unsigned.split_once(ISSUER_END).ok_or(Fault::Structure("an element is missing"))?;
    Ok(format!("{before}{ISSUER_END}{signature}{behind}"))
}

/// The `SignedInfo` with the digest of the element.
fn signed_info(id: &str, method: &str, value: &str) -> String {
    let uri = format!("#{id}");
    let mut xml = XmlWriter::new();
    xml.start_element("ds:SignedInfo", &[("xmlns:ds", SIGNATURE)]);
    xml.empty_element("ds:CanonicalizationMethod", &[("Algorithm", EXCLUSIVE)]);
    xml.empty_element("ds:SignatureMethod", &[("Algorithm", RSA_SHA256)]);
    xml.start_element("ds:Reference", &[("URI", uri.as_str())]);
    xml.start_element("ds:Transforms", &[]);
    for step in [ENVELOPED, EXCLUSIVE] {
        xml.empty_element("ds:Transform", &[("Algorithm", step)]);
    }
    xml.end_element("ds:Transforms");
    xml.empty_element("ds:DigestMethod", &[("Algorithm", method)]);
    xml.start_element("ds:DigestValue", &[]);
    xml.text(value);
    xml.end_element("ds:DigestValue");
    xml.end_element("ds:Reference");
    xml.end_element("ds:SignedInfo");
    xml.into_string()
}

/// The canonical form of our own document.
fn canonical_form(text: &str) -> Result<Vec<u8>, Fault> {
    let document = xml::parse(text, text.len())?;
    canonical(Node::top(&document)?, None, &[])
}

fn base64(element: Node<'_>) -> Result<Vec<u8>, Fault> {
    let text: String = element.text()?.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|_| Fault::Signature)
}
