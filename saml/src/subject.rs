//! Names of subjects, plain or encrypted (core, sections 2.2.3 and 2.2.4).

use serde::{Deserialize, Serialize};

use crate::names::ASSERTION;
use crate::xml::{self, Node};
use crate::{DecryptionKey, Fault, encryption};

/// The maximum size of a decrypted name, in bytes.
const MOST: usize = 8 << 10;

/// The name of a subject.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameId {
    /// The name.
    pub value: String,
    /// The URI of the name's format.
    pub format: Option<String>,
}

impl NameId {
    /// Reads the name in an element. The element's signature must have been verified; it also covers an encrypted name.
    ///
    /// # Errors
    /// [`Fault::Subject`] if the name is empty; [`Fault::Encryption`] if it can't be decrypted or is not a name; or what is wrong with the
    /// structure.
    pub(crate) fn of(holder: Node<'_>, key: Option<&DecryptionKey>) -> Result<Self, Fault> {
        match (holder.perhaps(ASSERTION, "NameID")?, holder.perhaps(ASSERTION, "EncryptedID")?) {
            (Some(name), None) => Self::read(name),
            (None, Some(encrypted)) => Self::open(encrypted, key),
            (None, None) => Err(Fault::Structure("an element is missing")),
            (Some(_), Some(_)) => Err(Fault::Structure("an element is there twice")),
        }
    }

    fn read(name: Node<'_>) -> Result<Self, Fault> {
        let name = Self { value: name.text()?, format: name.attribute("Format").map(str::to_owned) };
        if name.value.is_empty() { Err(Fault::Subject) } else { Ok(name) }
    }

    /// The decrypted content must be a name and nothing else.
    fn open(encrypted: Node<'_>, key: Option<&DecryptionKey>) -> Result<Self, Fault> {
        let opened = encryption::open(encrypted, key)?;
        let document = xml::parse(&opened, MOST).map_err(|_| Fault::Encryption)?;
        let around = Node::top(&document).map_err(|_| Fault::Encryption)?;
        let name = around.only(ASSERTION, "NameID").map_err(|_| Fault::Encryption)?;
        if !around.is_around_one_element() {
            return Err(Fault::Encryption);
        }
        Self::read(name).map_err(|_| Fault::Encryption)
    }
}
