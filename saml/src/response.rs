//! Responses: whom an identity provider signed in, if that is to be believed.

use chrono::{DateTime, Utc};
use uppsala::Document;

use crate::names::{ASSERTION, BEARER, PROTOCOL, SIGNATURE, SUCCESS};
use crate::xml::{self, Node};
use crate::{Expected, Fault, NameId, encryption, signature};

/// The most bytes of a response, before and after base64.
const MOST: usize = 192 << 10;

/// The longest id of an assertion that is taken: it has to be remembered.
const LONGEST_ID: usize = 256;

/// What was said about somebody, and is believed.
#[derive(Clone, PartialEq, Eq)]
pub struct Asserted {
    /// The assertion's id. It works once: the caller remembers it.
    pub id: String,
    /// Whom it is about.
    pub name_id: NameId,
    /// What is said of them: names and values, in order.
    pub attributes: Vec<(String, Vec<String>)>,
    /// When they showed the provider who they are.
    pub authenticated_at: DateTime<Utc>,
    /// What the provider calls its session, if it says so: it may ask to end it.
    pub session: Option<String>,
    /// The request that it answers; none: nobody asked.
    pub in_response_to: Option<String>,
}

impl std::fmt::Debug for Asserted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Which one it is, and nothing of the person.
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

/// Believes a response, or says why not.
pub(crate) fn accept(text: &str, expected: &Expected<'_>) -> Result<Asserted, Fault> {
    if expected.provider.certificates.is_empty() {
        return Err(Fault::NoCertificate);
    }
    let text = xml::of_field(text, MOST)?;
    let document = xml::parse(&text, MOST)?;
    let response = Node::root(&document, PROTOCOL, "Response")?;
    let Some(encrypted) = response.perhaps(ASSERTION, "EncryptedAssertion")? else {
        let assertion = signed_assertion(response, expected)?;
        // From here on only what was verified is read, but for what can only lead to a refusal.
        about(response, expected)?;
        return heed(response, assertion, expected);
    };
    // All that can be refused without our key is refused before it is used.
    let is_signed = signed_around(response, expected)?;
    about(response, expected)?;
    let opened = encryption::open(encrypted, expected.key)?;
    // Of what is inside nothing is told until it is shown to be the provider's.
    let document = xml::parse(&opened, MOST).map_err(|_| Fault::Encryption)?;
    let assertion = signed_within(&document, is_signed, expected).map_err(|_| Fault::Encryption)?;
    heed(response, assertion, expected)
}

/// Believes an assertion that was verified.
fn heed(response: Node<'_>, assertion: Node<'_>, expected: &Expected<'_>) -> Result<Asserted, Fault> {
    let in_response_to = believe(response, assertion, expected)?;
    read(assertion, in_response_to, expected)
}

/// Verifies the signature of a response whose assertion is encrypted; whether it has one.
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

/// The one assertion that was encrypted: the element whose own signature was verified, if the response around it has none that was.
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

/// The one assertion of a response: the element whose signature, or whose response's signature, was verified.
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

/// Checks what the response says around the assertion.
fn about(response: Node<'_>, expected: &Expected<'_>) -> Result<(), Fault> {
    if response.attribute("Version") != Some("2.0") {
        return Err(Fault::Structure("it is another version of SAML than 2.0"));
    }
    match response.attribute("Destination") {
        Some(destination) if destination != expected.own.acs => return Err(Fault::Destination),
        // Who signs a response says where it goes (bindings, section 3.5.5.2).
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

/// Checks that the assertion is by the provider, for us, now. Answers the request that it is for.
fn believe(response: Node<'_>, assertion: Node<'_>, expected: &Expected<'_>) -> Result<Option<String>, Fault> {
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
            // Each works once here, and nothing is passed on. What is not understood may not be ignored (core, section 2.5.1).
            return Err(Fault::Structure("it has a condition that is not known"));
        }
    }
    if restricted { Ok(()) } else { Err(Fault::Audience) }
}

/// Checks that whoever brings the assertion may (profiles, section 4.1.4.3).
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

/// Checks that now is within the times that an element has.
fn within(element: Node<'_>, expected: &Expected<'_>) -> Result<(), Fault> {
    let (now, skew) = (expected.now, expected.skew);
    let too_soon = element.attribute("NotBefore").map(time).transpose()?.is_some_and(|from| now + skew < from);
    let too_late = element.attribute("NotOnOrAfter").map(time).transpose()?.is_some_and(|until| now - skew >= until);
    if too_soon || too_late { Err(Fault::Time) } else { Ok(()) }
}

pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, Fault> {
    DateTime::parse_from_rfc3339(text.trim()).map(|at| at.to_utc()).map_err(|_| Fault::Time)
}

/// Reads what an assertion says.
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
            // One that is no text says nothing that is understood here.
            let values = attribute.each(ASSERTION, "AttributeValue").filter_map(|value| value.text().ok());
            attributes.push((name.to_owned(), values.collect()));
        }
    }
    Ok(Asserted { id: id.to_owned(), name_id, attributes, authenticated_at, session, in_response_to })
}
