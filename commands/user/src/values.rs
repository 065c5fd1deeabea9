//! Validation of values: user names, languages, time zones and more. (Length limits: `lengths.rs`.)

use kernel::{Checks, Refusal, is_web_address};

use crate::lengths;

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

/// Refuses to revoke what can't be the name of a role. (A role that nobody has is revoked without effect.)
pub(crate) fn revoked_role(text: &str) -> Result<(), Refusal> {
    let mut checks = Checks::default();
    checks.role_name("/role", text);
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
    if !is_web_address(text, &["https://"]) || text.len() > lengths::PICTURE {
        checks.refuse(pointer, "picture", "not an HTTPS URL like https://example.com/ada.png");
    }
    text.to_owned()
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
        let cases: [(Check, &[&str], &[&str]); 4] = [
            (user_name, &["ada", "Ada.L-1", "7of9"], &["", "a", "ada@example.com", ".ada", "a b", "ädä"]),
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
}
