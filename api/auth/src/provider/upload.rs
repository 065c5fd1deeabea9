//! Reads a file that a form uploads (`multipart/form-data`, RFC 7578).

use std::pin::pin;

use futures::StreamExt;
use poem::error::ParseMultipartError;
use poem::web::Multipart;
use poem::{Body, FromRequest, Request, RequestBody};

use super::{OAuthError, Visit};

/// How much longer than the file a body may be, in bytes: for boundaries, headers, and the file's name.
const AROUND: usize = 8 << 10;

/// How many bytes of a body that is too large are read and dropped. A browser shows an answer only once it has sent the whole request, so
/// this is more than a photograph has.
const MOST_DROPPED: usize = 16 << 20;

/// What a form uploaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// A file.
    File(Vec<u8>),
    /// No file was chosen.
    Nothing,
    /// More than is allowed; it was not kept.
    TooLarge,
}

impl Visit {
    /// Reads the body, which has to be a form with a file in the field `name`. The file may have about `limit` bytes: it can be a little
    /// larger, and has to be checked again.
    ///
    /// # Errors
    /// `invalid_request` when it is not such a form, or incomplete.
    pub(super) async fn uploaded(&mut self, name: &str, limit: usize) -> Result<Uploaded, OAuthError> {
        let kind = self.header("content-type").unwrap_or_default().to_owned();
        match within(self.take_body(), limit + AROUND).await? {
            Some(bytes) => field(&kind, bytes, name).await,
            None => Ok(Uploaded::TooLarge),
        }
    }
}

/// The bytes of a body; none if there are more than `limit`.
async fn within(body: Body, limit: usize) -> Result<Option<Vec<u8>>, OAuthError> {
    let mut chunks = pin!(body.into_bytes_stream());
    let (mut bytes, mut length) = (Vec::<u8>::new(), 0);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| OAuthError::invalid_request("the body is incomplete"))?;
        length += chunk.len();
        if length <= limit {
            bytes.extend_from_slice(&chunk);
        } else if length > MOST_DROPPED {
            break;
        }
    }
    Ok((length <= limit).then_some(bytes))
}

/// The file in the field `name` of a form with this content type. Other fields are ignored.
async fn field(kind: &str, bytes: Vec<u8>, name: &str) -> Result<Uploaded, OAuthError> {
    let request = Request::builder().content_type(kind).finish();
    let form = Multipart::from_request(&request, &mut RequestBody::new(bytes.into())).await;
    let mut form = form.map_err(|_| OAuthError::invalid_request("send the file as multipart/form-data"))?;
    let unreadable = |_: ParseMultipartError| OAuthError::invalid_request("the body is not multipart/form-data");
    let mut found = None;
    while let Some(field) = form.next_field().await.map_err(unreadable)? {
        let is_it = field.name() == Some(name);
        let bytes = field.bytes().await.map_err(unreadable)?;
        if is_it && found.replace(bytes).is_some() {
            return Err(OAuthError::invalid_request(format!("the parameter {name} appears more than once")));
        }
    }
    Ok(found.filter(|bytes| !bytes.is_empty()).map_or(Uploaded::Nothing, Uploaded::File))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=x";

    fn part(name: &str, file: &str) -> String {
        format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n{file}\r\n")
    }

    async fn read(kind: &str, body: String) -> Result<Uploaded, OAuthError> {
        field(kind, body.into_bytes(), "picture").await
    }

    #[tokio::test]
    async fn a_file_is_found_by_the_name_of_its_field_and_an_empty_one_is_none() {
        let both = [part("other", "?"), part("picture", "a\r\nb"), "--x--\r\n".to_owned()].concat();
        assert_eq!(read(KIND, both).await.unwrap(), Uploaded::File(b"a\r\nb".to_vec()));
        for empty in [part("picture", ""), part("other", "?")] {
            assert_eq!(read(KIND, empty + "--x--\r\n").await.unwrap(), Uploaded::Nothing);
        }
    }

    #[tokio::test]
    async fn what_is_no_such_form_or_ends_too_early_is_refused() {
        let whole = part("picture", "a") + "--x--\r\n";
        for kind in ["", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/mixed; boundary=x"] {
            assert!(read(kind, whole.clone()).await.is_err(), "{kind}");
        }
        for end in [0, 1, 10, 60, whole.len() - 8] {
            assert!(read(KIND, whole[..end].to_owned()).await.is_err(), "{end}");
        }
        assert!(read(KIND, part("picture", "a") + &whole).await.is_err(), "twice");
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_not_kept() {
        assert_eq!(within(Body::from(vec![7_u8; 64]), 64).await.unwrap(), Some(vec![7; 64]));
        assert_eq!(within(Body::from(vec![7_u8; 65]), 64).await.unwrap(), None);
    }
}
