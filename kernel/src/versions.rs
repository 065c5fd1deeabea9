//! [`Versions`]: the versions that an `If-Match` header names.

use std::fmt;

use crate::Refusal;

/// The versions of `If-Match` (RFC 9110 section 13.1.1): the request is executed only if the resource has one of them. Empty: the header
/// contained no valid version, so the condition is always false.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions(Vec<u64>);

impl Versions {
    /// Whether the list contains this version.
    pub fn contains(&self, version: u64) -> bool {
        self.0.contains(&version)
    }

    /// The refusal of an `If-Match` on a request that creates something: `header_invalid`.
    pub fn of_something_new() -> Refusal {
        let detail = "the header if-match is not allowed here: a new resource has no version yet; omit the header";
        Refusal::invalid("header_invalid", detail).with("header", "if-match")
    }
}

impl From<u64> for Versions {
    fn from(version: u64) -> Self {
        Self(vec![version])
    }
}

impl FromIterator<u64> for Versions {
    fn from_iter<I: IntoIterator<Item = u64>>(versions: I) -> Self {
        Self(versions.into_iter().collect())
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [] => f.write_str("no version that there may be"),
            [one] => write!(f, "version {one}"),
            [first, rest @ ..] => {
                write!(f, "versions {first}")?;
                rest.iter().try_for_each(|version| write!(f, ", {version}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_in_words() {
        let of = |versions: &[u64]| versions.iter().copied().collect::<Versions>();
        assert_eq!(of(&[]).to_string(), "no version that there may be");
        assert_eq!(Versions::from(3).to_string(), "version 3");
        assert_eq!(of(&[1, 3]).to_string(), "versions 1, 3");
        assert!(of(&[1, 3]).contains(3) && !of(&[1, 3]).contains(2) && !of(&[]).contains(0));
    }
}
