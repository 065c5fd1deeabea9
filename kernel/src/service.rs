//! A service: one domain's database, roles, stream and processes.

use std::fmt;

/// The name of a service, for example `crm`. The names of its database (`inopsio_crm`), its roles, its stream (`EVENTS_CRM`) and its
/// subjects (`evt.crm.…`) are derived from it. Lower-case letters, digits and underscores, beginning with a letter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service(&'static str);

impl Service {
    /// Makes a service from its name. Names are constants of the program, so an invalid one fails to compile where it is used in a `const`.
    ///
    /// # Panics
    /// On a name with other characters: it would need quoting in SQL and would split subjects.
    pub const fn new(name: &'static str) -> Self {
        let bytes = name.as_bytes();
        assert!(!bytes.is_empty() && bytes[0].is_ascii_lowercase(), "a service's name begins with a lower-case letter");
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            assert!(
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_',
                "a service's name is made of lower-case letters, digits and underscores"
            );
            at += 1;
        }
        Self(name)
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({})", self.0)
    }
}
