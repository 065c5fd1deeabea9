//! Validation of values: user names, role names, languages, time zones and more. (Length limits: `lengths.rs`.)

use kernel::{Checks, Refusal};

use crate::lengths;

/// Validates an optional value with `take`, if there is one.
pub(crate) fn present<T>(text: Option<&String>, take: impl FnOnce(&str) -> T) -> Option<T> {
    text.map(|text| take(text))
}

/// A user name: lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit. Returned in lower case. It can't be
/// confused with an e-mail address, which has an `@`.
pub(crate) fn user_name(checks: &mut Checks, pointer: &str, text: &str) -> String {
    let name = text.trim().to_lowercase();
    let allowed = lengths::USER_NAME.contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
    if !allowed {
        let (least, most) = (lengths::USER_NAME.start(), lengths::USER_NAME.end());
        let detail =
            format!("allowed are {least} to {most} letters a-z, digits and . _ -, beginning with a letter or digit");
        checks.refuse(pointer, "user_name", detail);
    }
    name
}

/// A role's name: lower-case letters, digits and `_`, a letter first.
pub(crate) fn role_name(checks: &mut Checks, pointer: &str, text: &str) -> String {
    if !kernel::Role::is_name(text) {
        let (least, most) = (lengths::ROLE.start(), lengths::ROLE.end());
        let detail = format!("allowed are {least} to {most} letters a-z, digits and _, beginning with a letter");
        checks.refuse(pointer, "role_name", detail);
    }
    text.to_owned()
}

/// Refuses to revoke what can't be the name of a role. (A role that nobody has is revoked without effect.)
pub(crate) fn revoked_role(text: &str) -> Result<(), Refusal> {
    let mut checks = Checks::default();
    role_name(&mut checks, "/role", text);
    checks.finish()
}

/// A language tag, as in BCP 47: subtags of letters and digits.
pub(crate) fn locale(checks: &mut Checks, pointer: &str, text: &str) -> String {
    let text = text.trim();
    let subtag = |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    let first = text.split('-').next().unwrap_or_default();
    let language = (2..=3).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic());
    if text.len() > 35 || !language || !text.split('-').all(subtag) {
        checks.refuse(pointer, "locale", "not a language tag (BCP 47) like de or pt-BR");
    }
    text.to_owned()
}

/// A name of the IANA time zone database.
pub(crate) fn time_zone(checks: &mut Checks, pointer: &str, text: &str) -> String {
    let text = text.trim();
    if text.parse::<chrono_tz::Tz>().is_err() {
        checks.refuse(pointer, "time_zone", "not a name of the IANA time zone database like Europe/Berlin or UTC");
    }
    text.to_owned()
}

/// The address of a picture: `https://`, a host, no spaces.
pub(crate) fn picture(checks: &mut Checks, pointer: &str, text: &str) -> String {
    let text = text.trim();
    let host = text.strip_prefix("https://").unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>\"\\^`{|}".contains(c));
    if host.is_empty() || host.contains('@') || !plain || text.len() > lengths::PICTURE {
        checks.refuse(pointer, "picture", "not an HTTPS URL like https://example.com/ada.png");
    }
    text.to_owned()
}

/// A list with a maximum number of entries, without duplicates.
pub(crate) fn distinct_list<T: Ord + Clone>(checks: &mut Checks, pointer: &str, list: &[T], most: usize) -> Vec<T> {
    if list.len() > most {
        checks.refuse(pointer, "too_many", format!("{} entries; at most {most} are allowed", list.len()));
    }
    let mut list = list.to_vec();
    list.sort_unstable();
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(check: fn(&mut Checks, &str, &str) -> String, text: &str) -> bool {
        let mut checks = Checks::default();
        check(&mut checks, "/value", text);
        !checks.ok()
    }

    #[test]
    fn each_form_takes_what_people_write_and_nothing_else() {
        type Check = fn(&mut Checks, &str, &str) -> String;
        let cases: [(Check, &[&str], &[&str]); 5] = [
            (user_name, &["ada", "Ada.L-1", "7of9"], &["", "a", "ada@example.com", ".ada", "a b", "ädä"]),
            (role_name, &["sales", "sales_lead2"], &["", "s", "Sales", "2sales", "sales-lead", "säles"]),
            (locale, &["de", "pt-BR", "zh-Hant-TW"], &["", "d", "de_DE", "german-language-of-austria", "1a"]),
            (
                time_zone,
                &["UTC", "Europe/Berlin", "America/Argentina/Salta", "Etc/GMT+5"],
                &["", "Europe/", "a/b/c/d", "../etc"],
            ),
            (
                picture,
                &["https://example.com/a.png"],
                &["", "http://example.com", "javascript:alert(1)", "https://a@b/"],
            ),
        ];
        for (check, allowed, not) in cases {
            for text in allowed {
                assert!(!refused(check, text), "{text:?}");
            }
            for text in not {
                assert!(refused(check, text), "{text:?}");
            }
        }
    }

    #[test]
    fn lists_are_short_and_name_each_thing_once() {
        let mut checks = Checks::default();
        assert_eq!(distinct_list(&mut checks, "/roles", &["b", "a", "b"], 3), ["a", "b"]);
        assert!(checks.ok());
        distinct_list(&mut checks, "/roles", &["b", "a", "b"], 2);
        assert_eq!(checks.into_errors()[0].code, "too_many");
    }
}
