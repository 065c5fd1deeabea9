//! Request bodies: reads them with a size limit, decodes JSON, and refuses it with a JSON pointer to what is wrong.

use std::fmt::Write as _;

use futures::StreamExt;
use kernel::Refusal;
use poem::RequestBody;
use poem::error::ReadBodyError;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::headers::header;

/// U+FEFF in UTF-8, with which some programs begin each text.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The body of a command without parameters: empty, or `{}`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = serde_json::json!({}))]
pub struct Empty {}

/// The media type of uploaded files.
pub const CSV: &str = "text/csv";

/// The undecoded bytes of a body.
#[derive(Debug)]
pub struct RawBody(pub Vec<u8>);

impl RawBody {
    /// Reads a body of this media type, of at most `limit` bytes.
    ///
    /// # Errors
    /// When the content type or encoding is another one (the body is not read then), when the body is longer, or when it is cut off.
    pub async fn of(
        request: &poem::Request,
        body: &mut RequestBody,
        limit: usize,
        media_type: &'static str,
    ) -> Result<Self, Refusal> {
        let content_type = header(request.headers(), "content-type")?;
        if let Some(content_type) = content_type
            && !is_media_type(content_type, media_type)
        {
            return Err(unsupported(&format!("the content type {content_type:?} is not supported here"), media_type));
        }
        if let Some(encoding) = header(request.headers(), "content-encoding")?
            && !encoding.eq_ignore_ascii_case("identity")
        {
            let detail = format!("the content encoding {encoding:?} is not supported; send the body without one");
            return Err(Refusal::unsupported_media("content_encoding_unsupported", detail));
        }
        let read = Self::read(body, limit).await?;
        if content_type.is_none() && !read.0.is_empty() {
            return Err(unsupported("the body has no content type", media_type));
        }
        Ok(read)
    }

    /// Reads a body of at most `limit` bytes, of any media type.
    ///
    /// # Errors
    /// When the body is longer, or when it is cut off.
    pub async fn read(body: &mut RequestBody, limit: usize) -> Result<Self, Refusal> {
        let body = body
            .take()
            .map_err(|_| Refusal::internal("body_taken", "the request's body was read twice; see the log"))?;
        // Not by `Body::into_bytes_limit`: its buffer of 4 KiB would be part of every operation's future, and be copied with it.
        let (mut chunks, mut bytes) = (body.into_bytes_stream(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| incomplete(&ReadBodyError::Io(error)))?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Self(bytes))
    }
}

/// Whether a Content-Type names this media type. A charset may follow only if it is UTF-8; and of CSV not that the file has no header
/// (RFC 4180 section 3), because its first row would be taken as one.
fn is_media_type(content_type: &str, media_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case(media_type))
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                ["utf-8", "utf8"].iter().any(|utf8| value.trim().trim_matches('"').eq_ignore_ascii_case(utf8))
            }
            Some((name, value)) if name.trim().eq_ignore_ascii_case("header") => {
                !value.trim().trim_matches('"').eq_ignore_ascii_case("absent")
            }
            _ => true,
        })
}

fn unsupported(what: &str, media_type: &'static str) -> Refusal {
    let columns = if media_type == CSV { ", with a header line that names the columns" } else { "" };
    Refusal::unsupported_media("content_type_unsupported", format!("{what}; send {media_type} in UTF-8{columns}"))
        .with("allowed", media_type)
}

fn incomplete(error: &ReadBodyError) -> Refusal {
    Refusal::invalid("body_incomplete", format!("the body could not be read: {error}"))
}

/// The refusal of a body that is longer than `limit` bytes.
pub fn too_large(limit: usize) -> Refusal {
    Refusal::too_large("body_too_large", format!("the body is larger than {limit} bytes")).with("allowed", limit)
}

/// Decodes a JSON object; an empty body counts as `{}`.
pub fn decode_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    // serde would accept an array as an object's members in their order of declaration, which the contract does not allow.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(not_an_object(bytes));
    }
    // Tracking the path of an error costs time, so a body is decoded with it only after a failure.
    serde_json::from_slice(bytes).or_else(|_| decode_with_path(bytes))
}

fn not_an_object(bytes: &[u8]) -> Refusal {
    decode_with_path::<serde::de::IgnoredAny>(bytes)
        .err()
        .unwrap_or_else(|| Refusal::field("", "wrong_type", "the body must be a JSON object"))
}

fn decode_with_path<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if let Err(error) = std::str::from_utf8(bytes) {
        let at = error.valid_up_to();
        return Err(Refusal::invalid(
            "invalid_utf8",
            format!("the body is not UTF-8: no valid character starts at byte {at}"),
        ));
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        let detail = "the body begins with a byte order mark, which is not part of JSON; send UTF-8 without it";
        return Err(Refusal::invalid("json_malformed", detail).with("line", 1).with("column", 1));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let error = match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Ok(value) => match json.end() {
            Ok(()) => return Ok(value),
            Err(error) => return Err(malformed(&error)),
        },
        Err(error) => error,
    };
    let message = if error.inner().is_data() {
        without_place(&error.inner().to_string())
    } else if serde_json::from_slice::<serde_json::Value>(bytes).is_ok() {
        // Where serde_json expects an enum variant and finds something other than a string, it reports a syntax error.
        "invalid type: expected one of the values that the contract lists, as a string".to_owned()
    } else {
        return Err(malformed(error.inner()));
    };
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => _ = write!(pointer, "/{index}"),
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Enum { variant } => push(&mut pointer, variant),
            Segment::Unknown => {}
        }
    }
    let code = code_of(&message);
    if matches!(code, "missing_field" | "unknown_field" | "duplicate_field")
        && let Some(field) = message.split('`').nth(1)
        && !pointer.ends_with(&format!("/{field}"))
    {
        push(&mut pointer, field);
    }
    Err(Refusal::field(pointer, code, plain(&message)))
}

fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}

fn malformed(error: &serde_json::Error) -> Refusal {
    let text = error.to_string();
    if text.starts_with("recursion limit") {
        return Refusal::invalid("json_too_deep", "the body is nested deeper than 127 levels");
    }
    Refusal::invalid("json_malformed", format!("the body is not JSON: {text}"))
        .with("line", error.line())
        .with("column", error.column())
}

/// The code of a decoding error. serde gives the kind of an error only in its message; the tests below check these messages.
fn code_of(message: &str) -> &'static str {
    const WORDS: [(&str, &str); 6] = [
        ("missing field", "missing_field"),
        ("unknown field", "unknown_field"),
        ("duplicate field", "duplicate_field"),
        ("invalid type", "wrong_type"),
        ("invalid length", "wrong_length"),
        ("unknown variant", "unknown_value"),
    ];
    WORDS.iter().find(|(words, _)| message.starts_with(words)).map_or("invalid_value", |(_, code)| code)
}

/// The message without Rust's type names.
fn plain(message: &str) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("expected unit", "expected the value alone, as a string"),
        ("expected u8", "expected a whole number from 0 to 255"),
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number from 0 to 18446744073709551615"),
        ("expected i64", "expected a whole number from -9223372036854775808 to 9223372036854775807"),
        ("expected a boolean", "expected true or false"),
        ("expected struct", "expected an object:"),
        ("expected a map", "expected an object"),
        ("expected a sequence", "expected an array"),
    ];
    let found = WORDS.iter().find(|(rust, _)| {
        message
            .find(rust)
            .is_some_and(|at| !message[at + rust.len()..].starts_with(|c: char| c.is_ascii_alphanumeric()))
    });
    found.map_or_else(|| message.to_owned(), |(rust, words)| message.replacen(rust, words, 1))
}

/// The message without serde_json's " at line 1 column 9": the pointer is more useful.
fn without_place(message: &str) -> String {
    message.rfind(" at line ").map_or(message, |at| &message[..at]).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn media_types_are_compared_without_case_and_only_utf8_is_taken() {
        for allowed in ["application/json", "Application/JSON; charset=UTF-8", "application/json;charset=\"utf8\""] {
            assert!(is_media_type(allowed, "application/json"), "{allowed}");
        }
        for allowed in ["text/csv", "text/csv; header=present; charset=utf-8"] {
            assert!(is_media_type(allowed, CSV), "{allowed}");
        }
        for refused in ["text/csv; header=absent", "text/csv;Header=\"Absent\"; charset=utf-8"] {
            assert!(!is_media_type(refused, CSV), "{refused}");
        }
        for refused in ["text/json", "application/jsonp", "application/json; charset=latin1", ""] {
            assert!(!is_media_type(refused, "application/json"), "{refused}");
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoding is tested")]
    struct Order {
        name: String,
        #[serde(default)]
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only decoding is tested")]
    struct Line {
        quantity: u32,
        #[serde(default)]
        size: Option<Size>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Size {
        Small,
    }

    fn refused(body: &[u8]) -> (String, String, String) {
        let refusal = decode_json::<Order>(body).unwrap_err();
        let field = refusal.errors().first().cloned();
        (
            refusal.code().to_owned(),
            field.as_ref().map(|f| f.pointer.clone()).unwrap_or_default(),
            field.map(|f| f.code.to_owned()).unwrap_or_default(),
        )
    }

    #[test]
    fn what_is_wrong_is_named_with_its_pointer() {
        let cases = [
            (json!({ "name": 1 }), "/name", "wrong_type"),
            (json!({}), "/name", "missing_field"),
            (json!({ "name": "a", "colour": "red" }), "/colour", "unknown_field"),
            (
                json!({ "name": "a", "lines": [{ "quantity": 1 }, { "quantity": -1 }] }),
                "/lines/1/quantity",
                "invalid_value",
            ),
            (json!({ "name": "a", "lines": [{}] }), "/lines/0/quantity", "missing_field"),
            (json!({ "name": "a", "lines": [{ "quantity": 1, "size": "huge" }] }), "/lines/0/size", "unknown_value"),
            (json!([1]), "", "wrong_type"),
        ];
        for (body, pointer, code) in cases {
            let found = refused(body.to_string().as_bytes());
            assert_eq!(
                (found.0.as_str(), found.1.as_str(), found.2.as_str()),
                ("validation_failed", pointer, code),
                "{body}"
            );
        }
        assert_eq!(refused(br#"{"name":"a","name":"b"}"#).2, "duplicate_field");
    }

    #[test]
    fn what_is_allowed_is_said_without_rusts_names() {
        let said = |body: &str| decode_json::<Order>(body.as_bytes()).unwrap_err().errors()[0].detail.clone();
        for (body, allowed) in [
            (r#"{"name": "a", "lines": [{"quantity": 4294967296}]}"#, "expected a whole number from 0 to 4294967295"),
            (r#"{"name": "a", "lines": [{"quantity": "1"}]}"#, "expected a whole number from 0 to 4294967295"),
            (r#"{"name": "a", "lines": {}}"#, "expected an array"),
            (r#"{"name": "a", "lines": [7]}"#, "expected an object"),
            (r#"{"name": 7}"#, "expected a string"),
        ] {
            assert!(said(body).contains(allowed), "{body}: {}", said(body));
        }
    }

    #[test]
    fn what_is_json_is_not_said_to_be_none_where_a_word_is_expected() {
        for size in [json!(5), json!(true), json!(["small"]), json!(1.5)] {
            let body = json!({ "name": "a", "lines": [{ "quantity": 1, "size": size }] }).to_string();
            let (code, pointer, of_field) = refused(body.as_bytes());
            assert_eq!((&*code, &*of_field), ("validation_failed", "wrong_type"), "{body}");
            assert_eq!(pointer, "/lines/0/size", "{body}");
        }
        assert_eq!(refused(br#"{"name":"a","lines":[{"quantity":1,"size":}]}"#).0, "json_malformed");
    }

    #[test]
    fn what_is_no_json_has_a_code_of_its_own() {
        assert_eq!(refused(b"{\"name\":").0, "json_malformed");
        assert_eq!(refused(b"{\"name\":\"a\"} {}").0, "json_malformed");
        let marked = "\u{feff}{\"name\":\"a\"}";
        assert_eq!(refused(marked.as_bytes()).0, "json_malformed");
        let refusal = decode_json::<Order>(marked.as_bytes()).unwrap_err();
        assert!(refusal.detail().contains("byte order mark"), "{refusal:?}");
        assert_eq!(refused(b"{\"name\":\"\xff\"}").0, "invalid_utf8");
        let deep = format!("{{\"name\":{}", "[".repeat(200_000));
        assert!(["json_too_deep", "validation_failed"].contains(&refused(deep.as_bytes()).0.as_str()));
        assert_eq!(refused(b"").2, "missing_field");
    }
}
