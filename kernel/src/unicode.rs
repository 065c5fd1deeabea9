//! Unicode normalisation of texts (Unicode Standard Annex 15) and case folding, so that texts that look the same compare equal.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

/// A text in normalization form C: `e` with a combining accent becomes `é`. Borrowed if it already has that form.
///
/// Text that people type is stored and searched in this form. Values of other systems that are compared byte by byte (subjects, external
/// ids, secrets) are not normalised. Passwords are hashed in the form of [`compatible`].
pub fn composed(text: &str) -> Cow<'_, str> {
    if is_composed(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}

/// A text in normalization form KC: as [`composed`], and a compatibility character becomes what it stands for: a fullwidth `Ａ` an `A`, a
/// no-break space a space, `ﬁ` two letters. Borrowed if it already has that form. The text may become longer (`U+FDFA` 18 characters).
pub fn compatible(text: &str) -> Cow<'_, str> {
    if is_nfkc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfkc().collect())
    }
}

/// A text for case-insensitive comparison: [`composed`] and in lower case. (The lower case of some letters with marks has to be composed
/// again.)
pub fn folded(text: &str) -> String {
    let lower = composed(text).to_lowercase();
    if is_composed(&lower) { lower } else { lower.nfc().collect() }
}

/// A text for searching in any case: [`composed`], with one form for each letter however it is written large or small. Unlike [`folded`], in
/// which some letters keep a form that their capital does not lead to: `ß` (in capitals `SS`), the `ς` at the end of a Greek word, and the
/// Turkish `İ` and `ı`, which are an `i` here. (Unicode Standard, section 3.13: full case folding, and one `i` for all languages.)
///
/// ```
/// for (one, other) in [("Weiß", "WEISS"), ("Λουκάς", "ΛΟΥΚΆΣ"), ("İbrahim", "ibrahim"), ("Işıl", "IŞIL")] {
///     assert_eq!(kernel::caseless(one), kernel::caseless(other));
/// }
/// ```
pub fn caseless(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Letter by letter: the lower case of a whole text has `ς` at the end of words. First into lower case, because `ẞ` is its own capital.
    let composed = composed(text);
    let lower = composed.chars().flat_map(char::to_lowercase).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    // The lower case of `İ` is an `i` with the combining dot.
    lower.filter(|letter| *letter != '\u{307}').nfc().collect()
}

/// Whether a text certainly has normalization form C. Costs almost nothing for ASCII.
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
            // Combining marks are put into canonical order.
            ("a\u{301}\u{323}", "\u{1ea1}\u{301}"),
            ("\u{1100}\u{1161}", "가"),
            // Compatibility characters are not changed.
            ("ﬁn²", "ﬁn²"),
        ] {
            assert_eq!(composed(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_stands_for_the_same_becomes_the_same() {
        for (text, expected) in [
            ("Cafe\u{301}", "Café"),
            ("ＡＢＣ１", "ABC1"),
            ("a\u{a0}b\u{3000}c\u{2009}d", "a b c d"),
            ("ﬁn²", "fin2"),
            ("\u{ff76}\u{ff9e}", "ガ"),
        ] {
            assert_eq!(compatible(text), expected, "{text:?}");
            assert_eq!(compatible(expected), expected, "{expected:?} changes again");
        }
        assert!(matches!(compatible("tin roof Café"), Cow::Borrowed(_)));
        assert_eq!(compatible("\u{fdfa}").chars().count(), 18);
    }

    #[test]
    fn case_and_form_make_no_difference_once_folded() {
        assert_eq!(folded("CAFE\u{301}"), "café");
        assert_eq!(folded("Café"), "café");
        // There is no precomposed capital J with caron, but there is a precomposed small one.
        assert_eq!(folded("J\u{30c}"), folded("\u{1f0}"));
    }

    #[test]
    fn each_letter_is_searched_in_one_form_however_it_is_written() {
        for (text, expected) in [
            ("ADA", "ada"),
            ("Cafe\u{301}", "café"),
            ("Groß", "gross"),
            ("GROẞ", "gross"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδός", "οδόσ"),
            ("\u{130}I\u{131}i", "iiii"),
            ("ŽOFIE", "žofie"),
            ("\u{1f0}\u{390}ẖ", "\u{1f0}\u{390}ẖ"),
            ("ﬁ", "fi"),
            ("李小龍", "李小龍"),
        ] {
            assert_eq!(caseless(text), expected, "{text:?}");
            assert_eq!(caseless(expected), expected, "{expected:?} changes again");
            assert_eq!(caseless(&text.to_uppercase()), expected, "{text:?} in capitals");
            assert_eq!(caseless(&text.to_lowercase()), expected, "{text:?} in small letters");
        }
    }
}
