//! The user's picture on the account page.

use kernel::{Picture, PictureFormat};
use maud::{Markup, html};
use poem::http::StatusCode;

/// The picture of a user, and what became of their last attempt to change it.
pub struct ShownPicture<'p> {
    /// The id of the picture that they uploaded.
    pub uploaded: Option<&'p str>,
    /// The address of a picture on another server. The page only names it: it loads nothing from other servers, which would learn of the
    /// visit.
    pub elsewhere: Option<&'p str>,
    /// The error message about the picture that they uploaded, with the status of the response.
    pub refused: Option<(StatusCode, &'p str)>,
}

impl ShownPicture<'_> {
    /// The part of the page with the picture, or the initials of `person`, and the forms that change it.
    pub(super) fn show(&self, slug: &str, person: &str) -> Markup {
        let action = format!("/t/{slug}/account/picture");
        let formats = PictureFormat::ALL.map(PictureFormat::media_type).join(",");
        let (least, most, kib) = (Picture::SIDE.start(), Picture::SIDE.end(), Picture::MOST_BYTES >> 10);
        let is_refused = self.refused.is_some();
        // The field has the focus then, so it is what is shown and read out first: the message has to be beside it and belong to it.
        let described_by = if is_refused { "picture-refused picture-allowed" } else { "picture-allowed" };
        html! {
            h2 { "Your picture" }
            @if let Some(id) = self.uploaded {
                img.face src=(format!("/t/{slug}/pictures/{id}")) alt="Your picture";
            } @else {
                div.face aria-hidden="true" { (initials(person)) }
                p.quiet {
                    @if let Some(address) = self.elsewhere { "Your picture is on another server: " (address) }
                    @else { "You have no picture." }
                }
            }
            @if let Some((_, text)) = self.refused { p.alert #picture-refused role="alert" { (text) } }
            form method="post" action=(action) enctype="multipart/form-data" {
                label for="picture" { "New picture" }
                input #picture name="picture" type="file" accept=(formats) required aria-describedby=(described_by)
                    aria-invalid=[is_refused.then_some("true")] autofocus[is_refused];
                p.quiet #picture-allowed {
                    "PNG, JPEG or WebP, up to " (kib) " KiB, " (least) " to " (most) " pixels wide and high. The file is kept as it is, \
                     also with what cameras write into it, such as the place. Applications show the picture, and everybody who knows its \
                     address can see it."
                }
                div.row { button type="submit" { "Save the picture" } }
            }
            @if self.uploaded.is_some() || self.elsewhere.is_some() {
                form method="post" action=(format!("{action}/remove")) {
                    button.second type="submit" { "Remove the picture" }
                }
            }
        }
    }
}

/// The first letters of the first and the last word of a name.
fn initials(name: &str) -> String {
    let mut letters = name.split_whitespace().filter_map(|word| word.chars().find(|letter| letter.is_alphanumeric()));
    let (first, last) = (letters.next(), letters.next_back());
    first.into_iter().chain(last).flat_map(char::to_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_the_first_letters_of_the_first_and_the_last_word() {
        for (name, expected) in [
            ("Ada Lovelace", "AL"),
            ("ada augusta king-noel", "AK"),
            ("Ada", "A"),
            ("\"Ada\" (Lovelace) —", "AL"),
            ("élise Ørsted", "ÉØ"),
            ("李小龍", "李"),
            ("…", ""),
        ] {
            assert_eq!(initials(name), expected, "{name}");
        }
    }
}
