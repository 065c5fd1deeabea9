//! Verifying and reading responses of identity providers.

use chrono::{DateTime, Utc};
use uppsala::Document;

use crate::names::{ASSERTION, BEARER, PROTOCOL, SIGNATURE, SUCCESS};
use crate::xml::{self, Node};
use crate::{Expected, Fault, NameId, encryption, signature};

/// The maximum size of a response, in bytes, before and after base64.
const MOST: usize = 192 << 10;

/// The maximum length of an assertion's id, because it has to be remembered.
const LONGEST_ID: usize = 256;

/// The content of an accepted assertion.
#[derive(Clone, PartialEq, Eq)]
pub struct Asserted {
    /// The assertion's id. The caller has to remember it, and must accept it only once.
    pub id: String,
    /// The name of the person.
    pub name_id: NameId,
    /// The attributes: names and values, in order.
    pub attributes: Vec<(String, Vec<String>)>,
    /// When the person authenticated at the provider.
    pub authenticated_at: DateTime<Utc>,
    /// The provider's session index, if there is one. A logout request may name it.
    pub session: Option<String>,
    /// The id of the request that it answers; `None` if it was not requested.
    pub in_response_to: Option<String>,
}

impl std::fmt::Debug for Asserted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Shows the id, but no personal data.
        f.debug_struct("Asserted").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Asserted {
    /// The values of an attribute.
    pub fn attribute(&self, name: &str) -> impl Iterator<Item = &str> {
        let found = self.attributes.iter().filter(move |(known, _)| known == name);
        found.flat_map(|(_, values)| values).map(String::as_str)
    }
}

/// Verifies a response, and reads its assertion.
pub(crate) fn accept(text: &str, expected: &Expected<'_>) -> Result<Asserted, Fault> {
    if expected.provider.certificates.is_empty() {
        return Err(Fault::NoCertificate);
    }
    let text = xml::of_field(text, MOST)?;
    let document = xml::parse(&text, MOST)?;
    let response = Node::root(&document, PROTOCOL, "Response")?;
    let Some(encrypted) = response.perhaps(ASSERTION, "EncryptedAssertion")? else {
        let assertion = signed_assertion(response, expected)?;
        // From here on only verified elements are read, except where they can only lead to a refusal.
        check_response(response, expected)?;
        return accept_assertion(response, assertion, expected);
    };
    // All checks that do not need our key come before decryption.
    let is_signed = signed_around(response, expected)?;
    check_response(response, expected)?;
    let opened = encryption::open(encrypted, expected.key)?;
    // Faults of the content are not revealed before its signature is verified.
    let document = xml::parse(&opened, MOST).map_err(|_| Fault::Encryption)?;
    let assertion = signed_within(&document, is_signed, expected).map_err(|_| Fault::Encryption)?;
    accept_assertion(response, assertion, expected)
}

/// Checks and reads an assertion whose signature was verified.
fn accept_assertion(response: Node<'_>, assertion: Node<'_>, expected: &Expected<'_>) -> Result<Asserted, Fault> {
    let in_response_to = check_assertion(response, assertion, expected)?;
    read(assertion, in_response_to, expected)
}

/// Verifies the signature of a response whose assertion is encrypted. Returns whether it has a signature.
fn signed_around(response: Node<'_>, expected: &Expected<'_>) -> Result<bool, Fault> {
    let document = response.document;
    let encrypted = Node::anywhere(document, ASSERTION, "EncryptedAssertion").len();
    if encrypted != 1 || !Node::anywhere(document, ASSERTION, "Assertion").is_empty() {
        return Err(Fault::Structure("there is more than one assertion"));
    }
    let signature = signature::of(response)?;
    if Node::anywhere(document, SIGNATURE, "Signature").len() != usize::from(signature.is_some()) {
        return Err(Fault::Structure("a signature is where it does not belong"));
    }
    if let Some(signature) = signature {
        signature::verify(response, signature, &expected.provider.certificates)?;
    }
    Ok(signature.is_some())
}

/// The decrypted assertion. Its own signature is verified; it must have one unless the response was signed.
fn signed_within<'d>(document: &'d Document<'d>, is_signed: bool, expected: &Expected<'_>) -> Result<Node<'d>, Fault> {
    let opened = Node::top(document)?;
    let assertion = opened.only(ASSERTION, "Assertion")?;
    let is_alone = opened.is_around_one_element()
        && Node::anywhere(document, ASSERTION, "Assertion").len() == 1
        && Node::anywhere(document, ASSERTION, "EncryptedAssertion").is_empty();
    if !is_alone {
        return Err(Fault::Structure("there is more than one assertion"));
    }
    let signature = signature::of(assertion)?;
    if Node::anywhere(document, SIGNATURE, "Signature").len() != usize::from(signature.is_some()) {
        return Err(Fault::Structure("a signature is where it does not belong"));
    }
    match signature {
        Some(signature) => signature::verify(assertion, signature, &expected.provider.certificates)?,
        None if !is_signed => return Err(Fault::NotSigned),
        None => {}
    }
    Ok(assertion)
}

/// The assertion of a response. Its own signature, or that of the response, or both are verified.
fn signed_assertion<'d>(response: Node<'d>, expected: &Expected<'_>) -> Result<Node<'d>, Fault> {
    let document = response.document;
    if !Node::anywhere(document, ASSERTION, "EncryptedAssertion").is_empty() {
        return Err(Fault::Structure("an encrypted assertion is where it does not belong"));
    }
    let assertion = response.only(ASSERTION, "Assertion")?;
    if Node::anywhere(document, ASSERTION, "Assertion").len() != 1 {
        return Err(Fault::Structure("there is more than one assertion"));
    }
    let (of_response, of_assertion) = (signature::of(response)?, signature::of(assertion)?);
    let known = usize::from(of_response.is_some()) + usize::from(of_assertion.is_some());
    if Node::anywhere(document, SIGNATURE, "Signature").len() != known {
        return Err(Fault::Structure("a signature is where it does not belong"));
    }
    if known == 0 {
        return Err(Fault::NotSigned);
    }
    for (element, signature) in [(response, of_response), (assertion, of_assertion)] {
        if let Some(signature) = signature {
            signature::verify(element, signature, &expected.provider.certificates)?;
        }
    }
    Ok(assertion)
}

/// Checks the response around the assertion: version, destination, issuer and status.
fn check_response(response: Node<'_>, expected: &Expected<'_>) -> Result<(), Fault> {
    if response.attribute("Version") != Some("2.0") {
        return Err(Fault::Structure("it is another version of SAML than 2.0"));
    }
    match response.attribute("Destination") {
        Some(destination) if destination != expected.own.acs => return Err(Fault::Destination),
        // A signed response must have a destination (bindings, section 3.5.5.2).
        None if signature::of(response)?.is_some() => return Err(Fault::Destination),
        _ => {}
    }
    if let Some(issuer) = response.perhaps(ASSERTION, "Issuer")?
        && issuer.text()? != expected.provider.entity_id
    {
        return Err(Fault::Issuer);
    }
    let status = response.only(PROTOCOL, "Status")?.only(PROTOCOL, "StatusCode")?;
    if status.attribute("Value") != Some(SUCCESS) {
        return Err(Fault::Status);
    }
    Ok(())
}

/// Checks the assertion: version, issuer, conditions and confirmation. Returns the id of the request that it answers.
fn check_assertion(response: Node<'_>, assertion: Node<'_>, expected: &Expected<'_>) -> Result<Option<String>, Fault> {
    if assertion.attribute("Version") != Some("2.0") {
        return Err(Fault::Structure("it is another version of SAML than 2.0"));
    }
    if assertion.only(ASSERTION, "Issuer")?.text()? != expected.provider.entity_id {
        return Err(Fault::Issuer);
    }
    conditions(assertion.only(ASSERTION, "Conditions")?, expected)?;
    let subject = assertion.only(ASSERTION, "Subject")?;
    let mut fault = Fault::Recipient;
    for confirmation in subject.each(ASSERTION, "SubjectConfirmation") {
        match confirm(response, confirmation, expected) {
            Ok(in_response_to) => return Ok(in_response_to),
            Err(why) => fault = why,
        }
    }
    Err(fault)
}

fn conditions(conditions: Node<'_>, expected: &Expected<'_>) -> Result<(), Fault> {
    within(conditions, expected)?;
    let mut restricted = false;
    for condition in conditions.elements() {
        if condition.is(ASSERTION, "AudienceRestriction") {
            let mut ours = false;
            for audience in condition.each(ASSERTION, "Audience") {
                ours |= audience.text()? == expected.own.entity_id;
            }
            if !ours {
                return Err(Fault::Audience);
            }
            restricted = true;
        } else if !condition.is(ASSERTION, "OneTimeUse") && !condition.is(ASSERTION, "ProxyRestriction") {
            // `OneTimeUse` and `ProxyRestriction` are always satisfied, because assertions are accepted once and never passed on. Unknown
            // conditions must not be ignored (core, section 2.5.1).
            return Err(Fault::Structure("it has a condition that is not known"));
        }
    }
    if restricted { Ok(()) } else { Err(Fault::Audience) }
}

/// Checks a subject confirmation: bearer, for us, in time, and for a request of ours (profiles, section 4.1.4.3).
fn confirm(response: Node<'_>, confirmation: Node<'_>, expected: &Expected<'_>) -> Result<Option<String>, Fault> {
    if confirmation.attribute("Method") != Some(BEARER) {
        return Err(Fault::Recipient);
    }
    let data = confirmation.only(ASSERTION, "SubjectConfirmationData")?;
    if data.attribute("Recipient") != Some(&expected.own.acs) {
        return Err(Fault::Recipient);
    }
    if data.attribute("NotOnOrAfter").is_none() || data.attribute("NotBefore").is_some() {
        return Err(Fault::Time);
    }
    within(data, expected)?;
    let in_response_to = data.attribute("InResponseTo");
    let around = response.attribute("InResponseTo");
    if around.is_some() && around != in_response_to {
        return Err(Fault::Request);
    }
    match in_response_to {
        Some(id) if !(expected.asked)(id) => Err(Fault::Request),
        None if !expected.unsolicited => Err(Fault::Unsolicited),
        id => Ok(id.map(str::to_owned)),
    }
}

/// Checks that the current time is within an element's `NotBefore` and `NotOnOrAfter`.
fn within(element: Node<'_>, expected: &Expected<'_>) -> Result<(), Fault> {
    let (now, skew) = (expected.now, expected.skew);
    let too_soon = element.attribute("NotBefore").map(time).transpose()?.is_some_and(|from| now + skew < from);
    let too_late = element.attribute("NotOnOrAfter").map(time).transpose()?.is_some_and(|until| now - skew >= until);
    if too_soon || too_late { Err(Fault::Time) } else { Ok(()) }
}

pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, Fault> {
    DateTime::parse_from_rfc3339(text.trim()).map(|at| at.to_utc()).map_err(|_| Fault::Time)
}

/// Reads the content of a verified assertion.
fn read(assertion: Node<'_>, in_response_to: Option<String>, expected: &Expected<'_>) -> Result<Asserted, Fault> {
    let id = assertion.attribute("ID").filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
    let id = id.ok_or(Fault::Structure("its ID is missing or too long"))?;
    let name_id = NameId::of(assertion.only(ASSERTION, "Subject")?, expected.key)?;
    let (mut authenticated_at, mut session) = (None, None);
    for statement in assertion.each(ASSERTION, "AuthnStatement") {
        let at = time(statement.attribute("AuthnInstant").ok_or(Fault::Structure("AuthnInstant is missing"))?)?;
        let over = statement.attribute("SessionNotOnOrAfter").map(time).transpose()?;
        if at > expected.now + expected.skew || over.is_some_and(|over| expected.now - expected.skew >= over) {
            return Err(Fault::Time);
        }
        authenticated_at = authenticated_at.max(Some(at.min(expected.now)));
        let index = statement.attribute("SessionIndex").filter(|index| index.len() <= LONGEST_ID);
        session = session.or(index.map(str::to_owned));
    }
    let authenticated_at = authenticated_at.ok_or(Fault::Structure("it does not say that anybody signed in"))?;
    let mut attributes = Vec::new();
    for statement in assertion.each(ASSERTION, "AttributeStatement") {
        for attribute in statement.each(ASSERTION, "Attribute") {
            let Some(name) = attribute.attribute("Name") else { continue };
            // Values that are not text are skipped.
            let values = attribute.each(ASSERTION, "AttributeValue").filter_map(|value| value.text().ok());
            attributes.push((name.to_owned(), values.collect()));
        }
    }
    Ok(Asserted { id: id.to_owned(), name_id, attributes, authenticated_at, session, in_response_to })
}
