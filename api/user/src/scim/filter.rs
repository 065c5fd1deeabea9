//! Filters (RFC 7644 section 3.4.2.2): parsed into a tree, and evaluated on resources.

mod parser;

use chrono::{DateTime, FixedOffset};
use serde_json::{Map, Value};

use super::error::ScimError;
use super::json::{get, without_schema};

/// A filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Filter {
    And(Box<Filter>, Box<Filter>),
    Or(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    /// The attribute has a value.
    Present(Path),
    Compare(Path, Operator, Value),
    /// At least one value of the attribute passes the inner filter.
    Within(Path, Box<Filter>),
}

/// The path of an attribute, and possibly of a sub-attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) attribute: String,
    pub(super) sub: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Path {
    pub(super) fn read(text: &str) -> Option<Self> {
        // An attribute of another schema is a valid path, but no resource here has a value for it.
        let Some(text) = without_schema(text) else { return Some(Self { attribute: text.to_owned(), sub: None }) };
        let (attribute, sub) = match text.split_once('.') {
            Some((attribute, sub)) => (attribute, Some(sub)),
            None => (text, None),
        };
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'))
        };
        (is_name(attribute) && sub.is_none_or(is_name))
            .then(|| Self { attribute: attribute.to_owned(), sub: sub.map(str::to_owned) })
    }

    /// Whether the path names this attribute or one of its sub-attributes.
    pub(super) fn names(&self, attribute: &str) -> bool {
        self.attribute.eq_ignore_ascii_case(attribute)
    }

    /// Whether the attribute is compared case-sensitively (RFC 7643 section 3.1): `externalId`, which the provider defines.
    fn is_exact(&self) -> bool {
        self.names("externalId")
    }

    fn is(&self, attribute: &str, sub: &str) -> bool {
        self.names(attribute)
            && self.sub.as_deref().unwrap_or(if sub == "value" { "value" } else { "" }).eq_ignore_ascii_case(sub)
    }
}

impl Filter {
    /// Parses a filter.
    ///
    /// # Errors
    /// `invalidFilter`.
    pub(super) fn read(text: &str) -> Result<Self, ScimError> {
        parser::parse(text)
    }

    /// Whether a resource, or a complex value of an attribute, passes the filter.
    pub(super) fn passes(&self, object: &Map<String, Value>) -> bool {
        match self {
            Self::And(a, b) => a.passes(object) && b.passes(object),
            Self::Or(a, b) => a.passes(object) || b.passes(object),
            Self::Not(filter) => !filter.passes(object),
            Self::Present(path) => values(object, path).iter().any(|value| is_something(value)),
            Self::Compare(path, Operator::NotEqual, wanted) => {
                !values(object, path).iter().any(|value| compares(value, Operator::Equal, wanted, path.is_exact()))
            }
            Self::Compare(path, operator, wanted) => {
                values(object, path).iter().any(|value| compares(value, *operator, wanted, path.is_exact()))
            }
            Self::Within(path, filter) => {
                let passes = |value: &Value| value.as_object().is_some_and(|value| filter.passes(value));
                match get(object, &path.attribute) {
                    Some(Value::Array(list)) => list.iter().any(passes),
                    value => value.is_some_and(passes),
                }
            }
        }
    }

    /// The value to which an attribute must be equal for the filter to pass, if there is one. Resources with it can be found by an index.
    pub(super) fn equal_to(&self, attribute: &str, sub: &str) -> Option<&str> {
        match self {
            Self::And(a, b) => a.equal_to(attribute, sub).or_else(|| b.equal_to(attribute, sub)),
            Self::Compare(path, Operator::Equal, Value::String(text)) if path.is(attribute, sub) => Some(text),
            Self::Within(path, within) if path.sub.is_none() && path.attribute.eq_ignore_ascii_case(attribute) => {
                within.equal_to(sub, "")
            }
            _ => None,
        }
    }

    /// The value to which an attribute must be equal, if that is the filter's only condition.
    pub(super) fn only_equal_to(&self, attribute: &str) -> Option<&str> {
        match self {
            Self::Compare(..) => self.equal_to(attribute, ""),
            _ => None,
        }
    }
}

/// The values at a path: all values of a list; and the `value` of an object, if the path has no sub-attribute.
fn values<'a>(object: &'a Map<String, Value>, path: &Path) -> Vec<&'a Value> {
    let Some(found) = get(object, &path.attribute) else { return Vec::new() };
    let within = |value: &'a Value| -> Option<&'a Value> {
        match (value, &path.sub) {
            (Value::Object(object), Some(sub)) => get(object, sub),
            (Value::Object(object), None) => get(object, "value").or(Some(value)),
            (value, None) => Some(value),
            (_, Some(_)) => None,
        }
    };
    match found {
        Value::Array(list) => list.iter().filter_map(within).collect(),
        value => within(value).into_iter().collect(),
    }
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        _ => true,
    }
}

/// Compares a value with that of a filter. Strings are compared case-insensitively unless `exact`; our ids have only one case. Times are
/// compared as points in time: `…:34.500Z` is later than `…:34Z`, and times with different offsets can be equal.
fn compares(value: &Value, operator: Operator, wanted: &Value, exact: bool) -> bool {
    use Operator::{Contains, EndsWith, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual, StartsWith};
    let order = match (value, wanted) {
        (Value::String(value), Value::String(wanted)) => {
            // An id of the provider is never compared as a time, even if it looks like one.
            let moments = if exact { None } else { time(value).zip(time(wanted)) };
            let folded = |text: &str| if exact { text.to_owned() } else { kernel::folded(text) };
            let (value, wanted) = (folded(value), folded(wanted));
            match operator {
                Contains => return value.contains(&wanted),
                StartsWith => return value.starts_with(&wanted),
                EndsWith => return value.ends_with(&wanted),
                _ => moments.map_or_else(|| value.cmp(&wanted), |(value, wanted)| value.cmp(&wanted)),
            }
        }
        (Value::Number(value), Value::Number(wanted)) => match value.as_f64().partial_cmp(&wanted.as_f64()) {
            Some(order) => order,
            None => return false,
        },
        (value, wanted) => return operator == Equal && value == wanted,
    };
    match operator {
        Equal => order.is_eq(),
        NotEqual => order.is_ne(),
        Greater => order.is_gt(),
        GreaterOrEqual => order.is_ge(),
        Less => order.is_lt(),
        LessOrEqual => order.is_le(),
        Contains | StartsWith | EndsWith => false,
    }
}

/// A time (RFC 7643 section 2.3.5).
fn time(text: &str) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn passes(filter: &str) -> bool {
        let user = json!({
            "userName": "bjensen", "externalId": "Ab7", "active": true, "title": "Tour Guide", "name": { "familyName": "O'Malley" },
            "emails": [{ "type": "work", "value": "bjensen@example.com" }, { "type": "home", "value": "babs@jensen.org" }],
            "meta": { "lastModified": "2011-05-13T04:42:34Z" }, "phoneNumbers": [],
        });
        Filter::read(filter).unwrap().passes(user.as_object().unwrap())
    }

    #[test]
    fn accents_are_compared_however_they_are_written_but_for_external_ids() {
        let user = json!({ "title": "Rene\u{301}", "externalId": "Rene\u{301}" });
        let passes = |filter: &str| Filter::read(filter).unwrap().passes(user.as_object().unwrap());
        assert!(passes("title eq \"REN\u{c9}\"") && passes("title eq \"rene\u{301}\""));
        assert!(passes("externalId eq \"Rene\u{301}\"") && !passes("externalId eq \"Ren\u{e9}\""));
    }

    #[test]
    fn the_examples_of_rfc_7644_mean_what_it_says() {
        for filter in [
            "userName eq \"bjensen\"",
            "userName Eq \"BJensen\"",
            "name.familyName co \"O'Malley\"",
            "userName sw \"J\" or userName sw \"B\"",
            "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"b\"",
            "title pr",
            "meta.lastModified gt \"2011-05-13T04:42:33Z\"",
            "meta.lastModified le \"2011-05-13T04:42:34Z\"",
            "meta.lastModified eq \"2011-05-13T04:42:34.000Z\"",
            "meta.lastModified eq \"2011-05-13T06:42:34+02:00\"",
            "meta.lastModified ge \"2011-05-13T06:42:34+02:00\"",
            "meta.lastModified lt \"2011-05-13T04:42:34.001Z\"",
            "meta.lastModified sw \"2011-05-13\"",
            "title pr and userName ne \"x\"",
            "userName eq \"x\" or emails co \"example.com\"",
            "not (userName eq \"x\") and (emails co \"example.com\" or emails.value co \"example.org\")",
            "emails[type eq \"work\" and value co \"@example.com\"]",
            "emails[type eq \"work\"].value eq \"BJensen@example.com\" and active eq true",
            "emails.type eq \"home\"",
            "externalId eq \"Ab7\"",
            "active eq true",
        ] {
            assert!(passes(filter), "{filter}");
        }
        for filter in [
            "userName eq \"jensen\"",
            "externalId eq \"ab7\"",
            "phoneNumbers pr",
            "nickName pr",
            "emails[type eq \"work\" and value co \"jensen.org\"]",
            "emails[type eq \"work\"].value eq \"babs@jensen.org\"",
            "active eq false",
            "active eq \"true\"",
            "meta.lastModified gt \"2011-05-13T06:42:34+02:00\"",
            "meta.lastModified ge \"2011-05-13T04:42:34.001Z\"",
            "title eq \"Tour Guide\" and userName ne \"bjensen\"",
        ] {
            assert!(!passes(filter), "{filter}");
        }
    }

    #[test]
    fn what_is_compared_in_its_case_is_no_time_either() {
        let equal = |exact| {
            let (one, other) = (json!("2011-05-13T04:42:34Z"), json!("2011-05-13T06:42:34+02:00"));
            compares(&one, Operator::Equal, &other, exact)
        };
        assert!(equal(false) && !equal(true));
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            "userName",
            "userName eq",
            "eq \"x\"",
            "userName is \"x\"",
            "userName eq x",
            "(userName pr",
            "userName pr)",
            "userName pr and",
            "emails[type eq \"work\"",
            "emails[type eq \"work\"].value",
            "emails[type eq \"work\"]. eq \"x\"",
            "emails[type eq \"work\"].a.b eq \"x\"",
            "emails[type eq \"work\"].value gt true",
            "userName eq \"x",
            "userName eq [1]",
            "a.b.c pr",
            "1a pr",
            "active gt true",
            "active ge false",
            "active lt \"true\"",
            "emails.primary le true",
            "emails[primary gt false]",
            "title gt true",
            "active co true",
            "meta.lastModified gt \"yesterday\"",
            "meta.created eq 3",
            "userName eq \"a\\u0000b\"",
        ] {
            assert_eq!(Filter::read(text).unwrap_err().scim_type, Some("invalidFilter"), "{text}");
        }
        for (text, detail) in [
            ("(userName pr", ") is missing"),
            ("emails[type eq \"work\"", "] is missing"),
            ("userName pr)", ") is not expected here"),
            ("userName pr userName", "userName is not expected here"),
        ] {
            assert_eq!(Filter::read(text).unwrap_err().detail, detail, "{text}");
        }
        assert!(Filter::read(&"(".repeat(900)).is_err() && Filter::read(&"x".repeat(1_001)).is_err());
    }

    #[test]
    fn an_index_is_found_where_the_filter_passes_for_nothing_else() {
        let read = |text: &str| Filter::read(text).unwrap();
        assert_eq!(read("active eq true and userName eq \"a\"").equal_to("userName", ""), Some("a"));
        assert_eq!(read("userName eq \"a\" or active eq true").equal_to("userName", ""), None);
        assert_eq!(read("not (userName eq \"a\")").equal_to("userName", ""), None);
        for by_email in [
            "emails eq \"a\"",
            "emails.value eq \"a\"",
            "emails[value eq \"a\" and type eq \"work\"]",
            "emails[type eq \"work\"].value eq \"a\"",
        ] {
            assert_eq!(read(by_email).equal_to("emails", "value"), Some("a"), "{by_email}");
        }
        assert_eq!(read("emails.type eq \"a\"").equal_to("emails", "value"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_makes_it_panic(text in "[a-z. \"()\\[\\]:\\\\é0-9]{0,80}") {
            let _ = Filter::read(&text);
        }
    }
}
