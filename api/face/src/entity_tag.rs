//! Entity tags (RFC 9110 section 8.8.3), as `If-Match` and `If-None-Match` name them.

use kernel::Versions;
use poem::http::{HeaderMap, HeaderName};

/// The value of `If-Match` or `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`: any version.
    Any,
    /// A list of tags; never empty.
    These(Vec<EntityTag>),
}

/// One entity tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntityTag {
    /// Whether it is a weak tag (`W/`).
    weak: bool,
    /// The text between the quotes.
    opaque: String,
}

/// How tags are compared (RFC 9110 section 8.8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// A weak tag matches nothing.
    Strong,
    /// A weak tag matches like a strong one.
    Weak,
}

/// The header is not a valid list of entity tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("send ETags as they were received, in quotes, such as \"3\", separated by commas; or *")]
pub struct NotEntityTags;

impl EntityTags {
    /// Reads a header; several lines of it form one list. `None`: the request does not have it.
    ///
    /// # Errors
    /// When it is neither `*` nor a list of entity tags.
    pub fn of(headers: &HeaderMap, name: HeaderName) -> Result<Option<Self>, NotEntityTags> {
        let mut lines = headers.get_all(name).iter().peekable();
        if lines.peek().is_none() {
            return Ok(None);
        }
        let lines = lines.map(|line| line.to_str().map_err(|_| NotEntityTags)).collect::<Result<Vec<_>, _>>()?;
        Self::read(&lines.join(", ")).ok_or(NotEntityTags).map(Some)
    }

    fn read(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        list(text).filter(|tags| !tags.is_empty()).map(Self::These)
    }

    /// The versions that these tags stand for; `None`: any version. Tags that are not version numbers stand for none.
    pub fn versions(&self, comparison: Comparison) -> Option<Versions> {
        let Self::These(tags) = self else { return None };
        let counted = tags.iter().filter(|tag| comparison == Comparison::Weak || !tag.weak);
        Some(counted.filter_map(EntityTag::version).collect())
    }

    /// Whether the tag of a response, such as `"3"`, is one of these (weak comparison).
    pub fn names(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => {
                list(tag).is_some_and(|tag| tag.iter().any(|one| tags.iter().any(|t| t.opaque == one.opaque)))
            }
        }
    }
}

impl EntityTag {
    /// The version, if the tag is exactly as we send it: without sign or leading zeros.
    fn version(&self) -> Option<u64> {
        self.opaque.parse().ok().filter(|version: &u64| version.to_string() == self.opaque)
    }
}

/// Parses a list of entity tags. Empty elements are ignored (RFC 9110 section 5.6.1.2).
fn list(text: &str) -> Option<Vec<EntityTag>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags);
        }
        let (weak, quoted) = rest.strip_prefix("W/").map_or((false, rest), |quoted| (true, quoted));
        // A tag may contain a comma, but no space.
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        if !opaque.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        tags.push(EntityTag { weak, opaque: opaque.to_owned() });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use poem::http::{HeaderValue, header};

    use super::*;

    fn versions(text: &str, comparison: Comparison) -> Vec<u64> {
        let versions = EntityTags::read(text).unwrap().versions(comparison).unwrap();
        (0..20).filter(|version| versions.contains(*version)).collect()
    }

    #[test]
    fn a_list_names_versions_by_strong_tags_or_by_all() {
        assert_eq!(versions("\"3\"", Comparison::Strong), [3]);
        assert_eq!(versions("\"1\", \"3\",\"7\"", Comparison::Strong), [1, 3, 7]);
        assert_eq!(versions(" , \"1\" ,, \"3\" ,", Comparison::Strong), [1, 3]);
        assert_eq!(versions("W/\"3\", \"4\"", Comparison::Strong), [4]);
        assert_eq!(versions("W/\"3\", \"4\"", Comparison::Weak), [3, 4]);
        for of_no_version in ["\"a\"", "\"-1\"", "\"+3\"", "\"03\"", "\"\"", "\"3,4\"", "\"99999999999999999999\""] {
            assert!(versions(of_no_version, Comparison::Weak).is_empty(), "{of_no_version}");
        }
        assert_eq!(EntityTags::read(" * ").unwrap().versions(Comparison::Strong), None);
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        let refused =
            ["", " ", ",", "3", "W/3", "w/\"3\"", "\"3", "3\"", "\"3\" \"4\"", "\"3\";", "*, \"3\"", "\"3\", *"];
        for text in refused.into_iter().chain(["\"a b\"", "\"a\tb\""]) {
            assert_eq!(EntityTags::read(text), None, "{text}");
        }
        let mut headers = HeaderMap::new();
        assert_eq!(EntityTags::of(&headers, header::IF_MATCH), Ok(None));
        headers.append(header::IF_MATCH, HeaderValue::from_static("\"1\""));
        headers.append(header::IF_MATCH, HeaderValue::from_static("\"3\", \"4\""));
        assert_eq!(EntityTags::of(&headers, header::IF_MATCH), Ok(EntityTags::read("\"1\",\"3\",\"4\"")));
        headers.append(header::IF_MATCH, HeaderValue::from_static("*"));
        assert_eq!(EntityTags::of(&headers, header::IF_MATCH), Err(NotEntityTags));
    }

    #[test]
    fn the_tag_of_an_answer_is_named_weak_or_strong() {
        let names = |list: &str| EntityTags::read(list).unwrap().names("\"3\"");
        for list in ["\"3\"", "W/\"3\"", "\"1\", \"3\"", "*", " \"3\" "] {
            assert!(names(list), "{list}");
        }
        for list in ["\"30\"", "\"1\",\"2\"", "\"*\"", "\"1,3\""] {
            assert!(!names(list), "{list}");
        }
    }
}
