//! Validation of request bodies: collects the errors, each with the JSON pointer of its value, instead of stopping at the first.

use crate::{FieldError, Refusal, Role, composed, folded};

/// The most errors that are collected. A body can have hundreds of thousands of wrong values, and what is said of each is many times as
/// long as the value.
const MOST_ERRORS: usize = 100;

/// Collects the errors of a request body, at most a hundred, while its values are validated and normalised.
///
/// ```
/// let mut checks = kernel::Checks::default();
/// let name = checks.line("/name", "Ada\u{0}", 1..=200);
/// let refusal = checks.finish().unwrap_err();
/// assert_eq!(refusal.errors()[0].pointer, "/name");
/// # let _ = name;
/// ```
#[derive(Debug, Default)]
pub struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    /// Adds an error, unless there are so many already that another one helps nobody.
    pub fn refuse(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        if self.errors.len() < MOST_ERRORS {
            self.errors.push(FieldError::new(pointer, code, detail));
        }
    }

    /// Validates one line of text that a person typed, and returns it trimmed and [composed]. Refused are control characters, characters
    /// that hide or reorder text ([`is_deceptive`]), text without a visible character, and a length outside `length` (in characters).
    pub fn line(&mut self, pointer: &str, text: &str, length: std::ops::RangeInclusive<usize>) -> String {
        self.identifier(pointer, &composed(text), length)
    }

    /// As [`line`](Self::line), for a value of another system that is compared byte by byte, such as a subject or an external id: it is
    /// trimmed, but not composed.
    pub fn identifier(&mut self, pointer: &str, text: &str, length: std::ops::RangeInclusive<usize>) -> String {
        self.text_without(pointer, text, length, |c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
    }

    /// Validates text of several lines: as [`line`](Self::line), but line breaks and tabs are allowed.
    pub fn paragraph(&mut self, pointer: &str, text: &str, length: std::ops::RangeInclusive<usize>) -> String {
        self.text_without(pointer, &composed(text), length, |c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    }

    fn text_without(
        &mut self,
        pointer: &str,
        text: &str,
        length: std::ops::RangeInclusive<usize>,
        refused: impl Fn(char) -> bool,
    ) -> String {
        let text = text.trim();
        let count = text.chars().count();
        if let Some(found) = text.chars().find(|c| refused(*c) || is_deceptive(*c)) {
            self.refuse(
                pointer,
                "control_character",
                format!("the character U+{:04X} is not allowed here", found as u32),
            );
        } else if *length.start() > 0 && text.chars().all(unseen) {
            self.refuse(pointer, "empty", "this can't be empty");
        } else if !length.contains(&count) {
            self.refuse(
                pointer,
                "length",
                format!("{count} characters; allowed are {} to {}", length.start(), length.end()),
            );
        }
        text.to_owned()
    }

    /// Validates an e-mail address: `local@domain`, at most 254 characters (RFC 5321), no spaces, no comments, no quoted local parts.
    /// Returns it [folded]: in lower case, composed.
    pub fn email(&mut self, pointer: &str, text: &str) -> String {
        let text = composed(text.trim());
        if !is_email(&text) {
            self.refuse(pointer, "email", "not an e-mail address like ada@example.com");
        }
        folded(&text)
    }

    /// Validates a telephone number in international form, E.164: `+` and 7 to 15 digits. Returns it without spaces, hyphens, dots and
    /// brackets.
    pub fn phone(&mut self, pointer: &str, text: &str) -> String {
        let kept: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
        let digits = kept.strip_prefix('+').unwrap_or_default();
        let allowed =
            (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
        if !allowed {
            self.refuse(pointer, "phone", "not a telephone number in international form (E.164), like +4930123456");
        }
        kept
    }

    /// Validates the name of a role, a built-in one or one that a tenant defined ([`Role::is_name`]).
    pub fn role_name(&mut self, pointer: &str, text: &str) -> String {
        if !Role::is_name(text) {
            let (least, most) = (Role::NAME_LENGTH.start(), Role::NAME_LENGTH.end());
            let detail = format!("allowed are {least} to {most} letters a-z, digits and _, beginning with a letter");
            self.refuse(pointer, "role_name", detail);
        }
        text.to_owned()
    }

    /// Refuses a list of more than `most` entries.
    pub fn at_most(&mut self, pointer: &str, count: usize, most: usize) {
        if count > most {
            self.refuse(pointer, "too_many", format!("{count} entries; at most {most} are allowed"));
        }
    }

    /// Refuses a list of more than `most` entries. Returns it sorted, with each entry once.
    pub fn distinct<T: Ord + Clone>(&mut self, pointer: &str, list: &[T], most: usize) -> Vec<T> {
        self.at_most(pointer, list.len(), most);
        let mut list = list.to_vec();
        list.sort_unstable();
        list.dedup();
        list
    }

    /// Unwraps the result of another check; an error is added at `pointer`, and gives `None`.
    pub fn take<T>(
        &mut self,
        pointer: &str,
        code: &'static str,
        result: Result<T, impl std::fmt::Display>,
    ) -> Option<T> {
        result.map_err(|error| self.refuse(pointer, code, error.to_string())).ok()
    }

    /// Whether there are no errors so far.
    pub fn ok(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors so far.
    pub fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    /// Ends the validation.
    ///
    /// # Errors
    /// `validation_failed`, with the errors, if there are any.
    pub fn finish(self) -> Result<(), Refusal> {
        if self.errors.is_empty() { Ok(()) } else { Err(Refusal::fields(self.errors)) }
    }
}

/// Whether a character reorders the text around it (as in names that read backwards), or is invisible: two texts that look the same would
/// differ. Joiners and variation selectors are not included: some scripts and emoji need them.
pub fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e00ff}')
}

/// Characters that are allowed within a text, but are invisible, so that a text can't consist of them alone.
fn unseen(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{200c}' | '\u{200d}' | '\u{2800}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether a text is a web address: one of these schemes, such as `https://`, then a host without a user before it, and nothing that an
/// address can't contain.
pub fn is_web_address(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(*scheme)).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>\"\\^`{|}".contains(c));
    !host.is_empty() && !host.contains('@') && plain
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let atom = |c: char| !c.is_control() && !c.is_whitespace() && !is_deceptive(c) && !"\"(),:;<>@[\\]".contains(c);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c == '-' || c.is_alphanumeric())
    };
    text.len() <= 254
        && (1..=64).contains(&local.len())
        && local.chars().all(atom)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && domain.contains('.')
        && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_said_with_its_pointer() {
        let mut checks = Checks::default();
        checks.line("/name", "", 1..=10);
        checks.line("/company", "a\u{7}b", 1..=10);
        checks.line("/title", &"x".repeat(11), 1..=10);
        checks.email("/email", "not one");
        checks.phone("/phone", "030 123");
        let refusal = checks.finish().unwrap_err();
        let codes: Vec<_> = refusal.errors().iter().map(|e| (e.pointer.as_str(), e.code)).collect();
        assert_eq!(
            codes,
            [
                ("/name", "empty"),
                ("/company", "control_character"),
                ("/title", "length"),
                ("/email", "email"),
                ("/phone", "phone")
            ]
        );
    }

    #[test]
    fn what_can_not_be_seen_or_deceives_is_refused() {
        let code = |text: &str| {
            let mut checks = Checks::default();
            checks.line("/name", text, 1..=10);
            checks.into_errors().first().map(|error| error.code)
        };
        for hidden in [
            "\u{200b}",
            "Ada\u{202e}gnp",
            "\u{feff}Ada",
            "A\u{ad}da",
            "\u{2066}Ada\u{2069}",
            "Ada\u{e0041}",
            "Ada\u{3164}X",
            "\u{3164}",
        ] {
            assert_eq!(code(hidden), Some("control_character"), "{hidden:?}");
        }
        for nothing in ["", "  ", "\u{200d}", "\u{2800} \u{fe0f}", "\u{e0100}"] {
            assert_eq!(code(nothing), Some("empty"), "{nothing:?}");
        }
        for seen in ["می\u{200c}خواهم", "👩\u{200d}💻", "שרה", "عمر", "葛\u{e0100}", "❤\u{fe0f}"] {
            assert_eq!(code(seen), None, "{seen:?}");
        }
        let mut checks = Checks::default();
        checks.paragraph("/note", "a\u{202e}b", 1..=10);
        assert_eq!(checks.into_errors()[0].code, "control_character");
    }

    #[test]
    fn what_people_write_is_taken() {
        let mut checks = Checks::default();
        assert_eq!(checks.line("/name", "  Žofie Nováková ", 1..=200), "Žofie Nováková");
        assert_eq!(checks.email("/email", "Ada.L+crm@Example.co.uk"), "ada.l+crm@example.co.uk");
        assert_eq!(checks.phone("/phone", "+49 (30) 123-456"), "+4930123456");
        assert!(checks.finish().is_ok());
    }

    #[test]
    fn what_people_type_is_composed_and_counted_so() {
        let mut checks = Checks::default();
        assert_eq!(checks.line("/name", "Cafe\u{301}", 4..=4), "Café");
        assert_eq!(checks.paragraph("/note", "Cafe\u{301}\nZoe\u{308}", 8..=8), "Café\nZoë");
        assert_eq!(checks.email("/email", "JOSE\u{301}@Cafe\u{301}.example"), "josé@café.example");
        assert!(checks.finish().is_ok());
        // The Greek question mark (U+037E) composes to a semicolon, which is not allowed.
        let mut checks = Checks::default();
        checks.email("/email", "ada\u{37e}@example.com");
        assert_eq!(checks.into_errors()[0].code, "email");
    }

    #[test]
    fn of_very_many_errors_the_first_are_said() {
        let mut checks = Checks::default();
        for place in 0..=MOST_ERRORS {
            checks.email(&format!("/{place}"), "not one");
        }
        assert!(!checks.ok());
        let errors = checks.into_errors();
        assert_eq!((errors.len(), errors[0].pointer.as_str()), (MOST_ERRORS, "/0"));
    }

    #[test]
    fn lists_are_short_and_name_each_thing_once() {
        let mut checks = Checks::default();
        assert_eq!(checks.distinct("/roles", &["b", "a", "b"], 3), ["a", "b"]);
        assert!(checks.ok());
        checks.distinct("/roles", &["b", "a", "b"], 2);
        assert_eq!(checks.into_errors()[0].code, "too_many");
    }

    #[test]
    fn a_name_of_a_role_is_a_word() {
        for (name, allowed) in [("sales_lead2", true), ("Sales", false), ("s", false), ("2sales", false)] {
            let mut checks = Checks::default();
            assert_eq!(checks.role_name("/role", name), name);
            assert_eq!(checks.ok(), allowed, "{name}");
        }
    }

    #[test]
    fn a_web_address_has_a_scheme_and_a_host() {
        let web = ["https://", "http://"];
        for good in ["https://example.com", "http://example.com/a?b=c#d", "https://münchen.example"] {
            assert!(is_web_address(good, &web), "{good:?}");
        }
        for bad in ["", "example.com", "javascript:alert(1)", "https://", "https://a b", "https://user:pw@host"] {
            assert!(!is_web_address(bad, &web), "{bad:?}");
        }
        assert!(!is_web_address("http://example.com", &["https://"]));
    }

    #[test]
    fn an_identifier_keeps_its_characters() {
        let mut checks = Checks::default();
        assert_eq!(checks.identifier("/owner", " jose\u{301} ", 5..=5), "jose\u{301}");
        checks.identifier("/owner", "a\u{7}", 1..=5);
        assert_eq!(checks.into_errors()[0].code, "control_character");
    }
}
