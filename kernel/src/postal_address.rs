//! Postal addresses.
//!
//! [`PostalAddress::check`] validates and normalises an address as it was sent. The address of a person is wrapped in
//! [`Personal`](crate::Personal).

use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Checks;

/// A postal address, with at least one of its members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PostalAddress {
    /// Street and house number, post office box, or care-of line: one line or several, separated by line breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// City, town or village.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locality: Option<String>,
    /// State, province, prefecture or county.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postal code, as it is written in the country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// The country, as an upper-case ISO 3166-1 alpha-2 code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl PostalAddress {
    /// Allowed length of the street in characters, line breaks included.
    pub const STREET: RangeInclusive<usize> = 1..=300;
    /// Allowed length of the locality in characters.
    pub const LOCALITY: RangeInclusive<usize> = 1..=100;
    /// Allowed length of the region in characters.
    pub const REGION: RangeInclusive<usize> = 1..=100;
    /// Allowed length of the postal code in characters.
    pub const POSTAL_CODE: RangeInclusive<usize> = 1..=20;

    /// Validates and normalises the address: texts trimmed, no empty lines in the street, the country in upper case. Errors are added with
    /// pointers below `at`, the pointer of the address.
    pub fn check(&self, checks: &mut Checks, at: &str) -> Self {
        if self.is_empty() {
            checks.refuse(at, "empty", "give at least one of street, locality, region, postal_code and country");
        }
        let street = self.street.as_ref();
        let street = street.map(|text| checks.paragraph(&format!("{at}/street"), &lines(text), Self::STREET));
        let mut line = |name: &str, text: Option<&String>, length| {
            text.map(|text| checks.line(&format!("{at}/{name}"), text, length))
        };
        let locality = line("locality", self.locality.as_ref(), Self::LOCALITY);
        let region = line("region", self.region.as_ref(), Self::REGION);
        let postal_code = line("postal_code", self.postal_code.as_ref(), Self::POSTAL_CODE);
        let country = self.country.as_ref().map(|text| checks.country(&format!("{at}/country"), text));
        Self { street, locality, region, postal_code, country }
    }

    /// Whether the address has no members.
    pub fn is_empty(&self) -> bool {
        let Self { street, locality, region, postal_code, country } = self;
        [street, locality, region, postal_code, country].into_iter().all(Option::is_none)
    }
}

/// The non-empty lines of a text, trimmed and separated by `\n`, whatever line ends it came with.
fn lines(text: &str) -> String {
    text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(texts: [&str; 5]) -> PostalAddress {
        let [street, locality, region, postal_code, country] = texts.map(|text| Some(text.to_owned()));
        PostalAddress { street, locality, region, postal_code, country }
    }

    fn refused(address: &PostalAddress) -> Vec<(String, &'static str)> {
        let mut checks = Checks::default();
        _ = address.check(&mut checks, "/address");
        checks.into_errors().into_iter().map(|error| (error.pointer, error.code)).collect()
    }

    #[test]
    fn it_is_kept_as_post_is_addressed() {
        let sent =
            address([" 12 St James's Square\r\n\r\n  Flat 3 \r", " London ", "Greater London", "SW1Y 4JH", "gb"]);
        let mut checks = Checks::default();
        let kept = sent.check(&mut checks, "/address");
        assert!(checks.finish().is_ok());
        assert_eq!(kept, address(["12 St James's Square\nFlat 3", "London", "Greater London", "SW1Y 4JH", "GB"]));
        assert_eq!(kept.check(&mut Checks::default(), "/address"), kept, "and so it stays");
    }

    #[test]
    fn any_one_member_is_enough_and_none_is_not() {
        let all = address(["1 Main Street", "Springfield", "Oregon", "97477", "US"]);
        for text in ["street", "locality", "region", "postal_code", "country"] {
            let mut one = serde_json::to_value(&all).unwrap();
            one.as_object_mut().unwrap().retain(|name, _| name == text);
            let one: PostalAddress = serde_json::from_value(one).unwrap();
            assert!(refused(&one).is_empty(), "{text}");
        }
        assert_eq!(refused(&PostalAddress::default()), [("/address".to_owned(), "empty")]);
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = |texts: [&str; 5], codes: [&'static str; 5]| {
            let names = ["street", "locality", "region", "postal_code", "country"];
            let expected: Vec<_> =
                names.into_iter().zip(codes).map(|(name, code)| (format!("/address/{name}"), code)).collect();
            assert_eq!(refused(&address(texts)), expected);
        };
        wrong(["\n \r\n", "", " ", "\t", ""], ["empty", "empty", "empty", "empty", "country"]);
        let [street, line, code] = [301, 101, 21].map(|length| "x".repeat(length));
        wrong([&street, &line, &line, &code, "GBR"], ["length", "length", "length", "length", "country"]);
        let control = "control_character";
        wrong(["1\u{0}", "a\nb", "a\u{202e}b", "1\u{7}", "XX"], [control, control, control, control, "country"]);
    }

    #[test]
    fn as_personal_it_is_marked_whole_and_gone_whole() {
        type Held = crate::Personal<PostalAddress>;
        let held: Held = PostalAddress { locality: Some("London".to_owned()), ..PostalAddress::default() }.into();
        let json = |held: &Held| serde_json::to_string(held).unwrap();
        assert_eq!(json(&held), r#"{"locality":"London"}"#);
        assert_eq!(crate::personal::marked(|| json(&held)), r#"{"personal":{"locality":"London"}}"#);
        assert_eq!(serde_json::from_str::<Held>(&json(&held)).unwrap(), held);
        let gone: Held = serde_json::from_str(r#"{"sealed":"v1.abc"}"#).unwrap();
        assert!(!gone.is_known() && gone.reveal().is_empty());
        assert_eq!(json(&gone), r#"{"sealed":""}"#);
    }
}
