//! Parsing untrusted XML, with limits, and a view of its elements that prevents ambiguous readings.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uppsala::{Document, Element, NodeId, NodeKind, Parser};

use crate::Fault;

/// The maximum depth of nested elements. A response has about ten levels.
const DEEPEST: u32 = 32;

/// Decodes the document in a form's field (bindings, section 3.5.4), with a maximum size in bytes before and after base64. Documents in
/// forms are never compressed, so nothing is inflated.
pub(crate) fn of_field(text: &str, most: usize) -> Result<String, Fault> {
    if text.len() > most {
        return Err(Fault::TooLong { most });
    }
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(text).map_err(|_| Fault::NotBase64)?;
    String::from_utf8(bytes).map_err(|_| Fault::NotXml)
}

/// Parses a document. Document type declarations are refused, so there are no entities except the five of XML, and nothing is fetched. Ids
/// must be unique.
pub(crate) fn parse(text: &str, most: usize) -> Result<Document<'_>, Fault> {
    if text.len() > most {
        return Err(Fault::TooLong { most });
    }
    let parser = Parser::new().with_forbid_dtd(true).with_max_depth(DEEPEST);
    let document = parser.parse(text.trim_start_matches('\u{feff}')).map_err(|_| Fault::NotXml)?;
    let encoding = document.xml_declaration.as_ref().and_then(|declaration| declaration.encoding.as_deref());
    if document.doctype.is_some() || encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case("UTF-8")) {
        return Err(Fault::NotXml);
    }
    each_id_once(&document)?;
    Ok(document)
}

/// Refuses duplicate ids, under all names that other readers may take for ids.
fn each_id_once(document: &Document<'_>) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for id in document.descendants(document.root()) {
        let Some(element) = document.element(id) else { continue };
        let ids = element.attributes.iter().filter(|attribute| is_id(&attribute.name.local_name));
        // One element may have its id in two attributes.
        let own: HashSet<&str> = ids.map(|attribute| &*attribute.value).collect();
        if !own.into_iter().all(|id| seen.insert(id.to_owned())) {
            return Err(Fault::DuplicateId);
        }
    }
    Ok(())
}

fn is_id(name: &str) -> bool {
    ["id", "assertionid", "responseid", "requestid"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// An element of a document.
#[derive(Clone, Copy)]
pub(crate) struct Node<'d> {
    pub(crate) document: &'d Document<'d>,
    pub(crate) id: NodeId,
}

impl<'d> Node<'d> {
    /// The root element.
    pub(crate) fn top(document: &'d Document<'d>) -> Result<Self, Fault> {
        let top = document.document_element().map(|id| Self { document, id });
        top.ok_or(Fault::Structure("an element is missing"))
    }

    /// The root element, which must have this name.
    pub(crate) fn root(document: &'d Document<'d>, space: &str, name: &str) -> Result<Self, Fault> {
        let root = Self::top(document).ok().filter(|root| root.is(space, name));
        root.ok_or(Fault::Structure("it is another document than the one expected"))
    }

    fn element(self) -> Option<&'d Element<'d>> {
        self.document.element(self.id)
    }

    pub(crate) fn is(self, space: &str, name: &str) -> bool {
        self.element().is_some_and(|element| element.matches_name_ns(space, name))
    }

    /// The namespaces in scope: prefixes and names.
    pub(crate) fn namespaces(self) -> Vec<(&'d str, &'d str)> {
        let mut found: Vec<(&str, &str)> = Vec::new();
        let mut at = Some(self.id);
        while let Some(id) = at {
            for (prefix, name) in self.document.element(id).map_or(&[][..], |element| &element.namespace_declarations) {
                // The nearest declaration of a prefix applies.
                if !found.iter().any(|(known, _)| *known == &**prefix) {
                    found.push((prefix, name));
                }
            }
            at = self.document.parent(id);
        }
        found
    }

    /// The value of an attribute without namespace.
    pub(crate) fn attribute(self, name: &str) -> Option<&'d str> {
        let mut attributes = self.element()?.attributes.iter();
        let found = attributes.find(|one| one.name.namespace_uri.is_none() && one.name.local_name == name);
        found.map(|attribute| &*attribute.value)
    }

    /// The child elements.
    pub(crate) fn elements(self) -> impl Iterator<Item = Self> {
        let nodes = self.document.children_iter(self.id).map(move |id| Self { id, ..self });
        nodes.filter(|node| node.element().is_some())
    }

    /// Whether it contains exactly one element, and otherwise only white space.
    pub(crate) fn is_around_one_element(self) -> bool {
        let mut rest = self.document.children_iter(self.id).filter(|id| self.document.element(*id).is_none());
        let is_blank = |id| matches!(self.document.node_kind(id), Some(NodeKind::Text(text)) if text.trim().is_empty());
        self.elements().count() == 1 && rest.all(is_blank)
    }

    /// The child elements with this name.
    pub(crate) fn each<'n>(self, space: &'n str, name: &'n str) -> impl Iterator<Item = Self> + use<'d, 'n> {
        self.elements().filter(move |node| node.is(space, name))
    }

    /// The child element with this name, which must exist once.
    pub(crate) fn only(self, space: &str, name: &str) -> Result<Self, Fault> {
        self.perhaps(space, name)?.ok_or(Fault::Structure("an element is missing"))
    }

    /// The child element with this name, if there is one; two are refused.
    pub(crate) fn perhaps(self, space: &str, name: &str) -> Result<Option<Self>, Fault> {
        let mut found = self.each(space, name);
        match (found.next(), found.next()) {
            (found, None) => Ok(found),
            _ => Err(Fault::Structure("an element is there twice")),
        }
    }

    /// All elements with this name in the document, at any depth.
    pub(crate) fn anywhere(document: &'d Document<'d>, space: &str, name: &str) -> Vec<Self> {
        let nodes = document.descendants(document.root()).into_iter().map(|id| Self { document, id });
        nodes.filter(|node| node.is(space, name)).collect()
    }

    /// The whole text, with comments removed. (Signatures do not cover comments. A reader that stops at a comment would read another text
    /// than the signed one.)
    pub(crate) fn text(self) -> Result<String, Fault> {
        let mut text = String::new();
        for child in self.document.children_iter(self.id) {
            match self.document.node_kind(child) {
                Some(NodeKind::Text(part) | NodeKind::CData(part)) => text.push_str(part),
                Some(NodeKind::Comment(_)) => {}
                _ => return Err(Fault::Structure("something else than text is where a text has to be")),
            }
        }
        Ok(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<Fault> {
        parse(text, 10_000).err()
    }

    #[test]
    fn a_document_type_another_encoding_depth_and_length_are_refused() {
        assert_eq!(fault("<a>x &amp; &#x41;</a>"), None);
        assert_eq!(fault("<?xml version=\"1.0\" encoding=\"utf-8\"?><a/>"), None);
        for bad in [
            "",
            "text",
            "<a>",
            "<a/><b/>",
            "<!DOCTYPE a><a/>",
            "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>",
            "<a>&e;</a>",
            "<?xml version=\"1.0\" encoding=\"UTF-7\"?><a/>",
        ] {
            assert_eq!(fault(bad), Some(Fault::NotXml), "{bad}");
        }
        assert_eq!(fault(&"<a>".repeat(40)), Some(Fault::NotXml));
        assert_eq!(parse(&"x".repeat(11), 10).err(), Some(Fault::TooLong { most: 10 }));
    }

    #[test]
    fn an_id_is_there_once_whatever_it_is_called() {
        assert_eq!(fault("<a ID='1'><b Id='2'/></a>"), None);
        for bad in ["<a ID='1'><b ID='1'/></a>", "<a ID='1'><b id='1'/></a>", "<a ID='1'><b xml:id='1'/></a>"] {
            assert_eq!(fault(bad), Some(Fault::DuplicateId), "{bad}");
        }
    }

    #[test]
    fn text_is_read_whole_around_a_comment() {
        let document = parse("<a>ada@example.com<!-- x -->.evil.example</a>", 1_000).unwrap();
        let node = Node { document: &document, id: document.document_element().unwrap() };
        assert_eq!(node.text().unwrap(), "ada@example.com.evil.example");
        let document = parse("<a>ada<b/></a>", 1_000).unwrap();
        let node = Node { document: &document, id: document.document_element().unwrap() };
        assert!(node.text().is_err());
    }
}
