//! Names of subjects, as they stand there or encrypted (core, sections 2.2.3 and 2.2.4).

use serde::{Deserialize, Serialize};

use crate::names::ASSERTION;
use crate::xml::{self, Node};
use crate::{DecryptionKey, Fault, encryption};

/// The most bytes of a name that was encrypted.
const MOST: usize = 8 << 10;

/// The name of a subject.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameId {
    /// The name, whole.
    pub value: String,
    /// What kind of name it is.
    pub format: Option<String>,
}

impl NameId {
    /// The one name that stands in an element. The element was verified, so that who signed it vouches for what is encrypted in it, too.
    ///
    /// # Errors
    /// [`Fault::Subject`] when it is empty, [`Fault::Encryption`] when it can't be opened or is no name, or why it is not built as it has to be.
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

    /// What was encrypted is a document of its own, with a name in it and nothing else.
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
