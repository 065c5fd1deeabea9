//! One form for texts that look the same (Unicode Standard Annex 15), and one for those that differ only in case.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A text in normalization form C: `e` with a combining accent becomes `é`. The same text, if it has that form already.
///
/// What people type is kept and looked for in this form. What other systems give us to compare byte by byte (subjects, external ids,
/// secrets) is not.
pub fn composed(text: &str) -> Cow<'_, str> {
    if is_composed(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// A text as it is compared with others in whatever case: [`composed`] and in lower case. (The lower case of some capitals with
/// marks is to be composed again.)
pub fn folded(text: &str) -> String {
    let lower = composed(text).to_lowercase();
    if is_composed(&lower) { lower } else { lower.nfc().collect() }
}

/// Whether a text has the form for sure. Costs ASCII next to nothing.
fn is_composed(text: &str) -> bool {
    is_nfc_quick(text.chars()) == IsNormalized::Yes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_composed_is_not_copied() {
        for text in ["", "Ada Lovelace", "Café", "葛\u{e0100}", "👩\u{200d}💻"] {
            assert!(matches!(composed(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }

    #[test]
    fn letters_and_their_marks_become_one() {
        for (text, expected) in [
            ("Cafe\u{301}", "Café"),
            ("\u{212b}ngstro\u{308}m", "Ångström"),
            // Marks come into one order.
            ("a\u{301}\u{323}", "\u{1ea1}\u{301}"),
            ("\u{1100}\u{1161}", "가"),
            // Compatibility characters stay what they are.
            ("ﬁn²", "ﬁn²"),
        ] {
            assert_eq!(composed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn case_and_form_make_no_difference_once_folded() {
        assert_eq!(folded("CAFE\u{301}"), "café");
        assert_eq!(folded("Café"), "café");
        // There is no such capital in one character, but there is the small letter.
        assert_eq!(folded("J\u{30c}"), folded("\u{1f0}"));
    }
}
