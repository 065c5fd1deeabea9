//! The message format of events: CloudEvents 1.0 in binary mode. Attributes are headers, and the body is the payload as stored.
//!
//! Attributes that CloudEvents does not define are extension attributes (lower-case letters and digits only, as its specification
//! demands): `tenant`, `aggregatetype`, `sequence`, `typeversion`, `recordedtime`. The metadata is sent as stored, in a header of our own.
//! Its trace context is also in the header `traceparent`, where tracing tools look. The position is not in the message: it is the message's
//! sequence in the stream.
//!
//! Outside the bus, where headers may not be available, an event is sent as one JSON document ([`structured`]).

use std::fmt::Write;
use std::str::FromStr;

use async_nats::HeaderMap;
use async_nats::header::HeaderName;
use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use kernel::{Position, RecordedEvent, Service, TenantId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

static SPEC_VERSION: HeaderName = HeaderName::from_static("ce-specversion");
static ID: HeaderName = HeaderName::from_static("ce-id");
static SOURCE: HeaderName = HeaderName::from_static("ce-source");
static TYPE: HeaderName = HeaderName::from_static("ce-type");
static TIME: HeaderName = HeaderName::from_static("ce-time");
static SUBJECT: HeaderName = HeaderName::from_static("ce-subject");
static TENANT: HeaderName = HeaderName::from_static("ce-tenant");
static AGGREGATE_TYPE: HeaderName = HeaderName::from_static("ce-aggregatetype");
static SEQUENCE: HeaderName = HeaderName::from_static("ce-sequence");
static TYPE_VERSION: HeaderName = HeaderName::from_static("ce-typeversion");
static RECORDED_TIME: HeaderName = HeaderName::from_static("ce-recordedtime");
static CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");
static METADATA: HeaderName = HeaderName::from_static("inopsio-metadata");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The headers with everything of an event except its position and payload. An error says which value no header can contain.
pub fn encode(service: Service, event: &RecordedEvent) -> Result<HeaderMap, String> {
    let metadata = std::str::from_utf8(&event.metadata).map_err(|error| format!("its metadata: {error}"))?;
    let mut headers = HeaderMap::new();
    let mut put = |name: &HeaderName, value: String| headers.insert(name.clone(), value);
    put(&SPEC_VERSION, "1.0".to_owned());
    put(&ID, event.event_id.to_string());
    put(&SOURCE, format!("/inopsio/{service}"));
    put(&TYPE, escape(&event.event_type));
    put(&TIME, time(event.occurred_at)?);
    put(&SUBJECT, escape(&event.aggregate_id));
    put(&TENANT, event.tenant.to_string());
    put(&AGGREGATE_TYPE, escape(&event.aggregate_type));
    put(&SEQUENCE, event.sequence.to_string());
    put(&TYPE_VERSION, event.event_version.to_string());
    put(&RECORDED_TIME, time(event.recorded_at)?);
    put(&CONTENT_TYPE, "application/json".to_owned());
    put(&METADATA, escape_json(metadata));
    if let Some(context) = traceparent(metadata) {
        put(&TRACEPARENT, context.to_owned());
    }
    Ok(headers)
}

/// The event of a message of the service's stream; `position` is the message's sequence. An error says which header is missing or invalid.
pub fn decode(
    service: Service,
    position: Position,
    headers: Option<&HeaderMap>,
    payload: Bytes,
) -> Result<RecordedEvent, String> {
    let headers = headers.ok_or("it has no headers")?;
    let get = |name: &HeaderName| {
        headers.get(name.clone()).map(async_nats::HeaderValue::as_str).ok_or_else(|| format!("it has no {name}"))
    };
    let source = get(&SOURCE)?;
    if source.strip_prefix("/inopsio/") != Some(service.name()) {
        return Err(format!("ce-source is {source:?}, not /inopsio/{service}"));
    }
    Ok(RecordedEvent {
        tenant: tenant(parse::<Uuid>(&TENANT, get(&TENANT)?)?),
        position,
        event_id: parse(&ID, get(&ID)?)?,
        aggregate_type: unescape(&AGGREGATE_TYPE, get(&AGGREGATE_TYPE)?)?,
        aggregate_id: unescape(&SUBJECT, get(&SUBJECT)?)?,
        sequence: parse(&SEQUENCE, get(&SEQUENCE)?)?,
        event_type: unescape(&TYPE, get(&TYPE)?)?,
        event_version: parse(&TYPE_VERSION, get(&TYPE_VERSION)?)?,
        payload,
        metadata: unescape(&METADATA, get(&METADATA)?)?.into(),
        occurred_at: parse_time(&TIME, get(&TIME)?)?,
        recorded_at: parse_time(&RECORDED_TIME, get(&RECORDED_TIME)?)?,
    })
}

/// An event as a CloudEvent in structured mode: one line of JSON with the payload as stored under `data`. Beside the attributes
/// of the binary mode it has `position` (in its service's log), `actor`, `correlationid` and `causationid`. Numbers that may
/// need more than 32 bits are strings, as the specification demands. An error says whether payload or metadata is not valid JSON.
pub fn structured(service: Service, event: &RecordedEvent) -> Result<Vec<u8>, String> {
    let data: &RawValue = serde_json::from_slice(&event.payload).map_err(|error| format!("its payload: {error}"))?;
    let who: Who<'_> = serde_json::from_slice(&event.metadata).map_err(|error| format!("its metadata: {error}"))?;
    let document = Structured {
        specversion: "1.0",
        id: event.event_id,
        source: format!("/inopsio/{service}"),
        r#type: &event.event_type,
        time: time(event.occurred_at)?,
        subject: &event.aggregate_id,
        datacontenttype: "application/json",
        tenant: event.tenant.uuid(),
        aggregatetype: &event.aggregate_type,
        sequence: event.sequence.to_string(),
        typeversion: event.event_version,
        recordedtime: time(event.recorded_at)?,
        position: event.position.to_string(),
        who,
        data,
    };
    let mut json = serde_json::to_vec(&document).map_err(|error| error.to_string())?;
    // Line breaks occur only between tokens: within strings JSON escapes them.
    json.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
    Ok(json)
}

#[derive(Serialize)]
struct Structured<'a> {
    specversion: &'static str,
    id: Uuid,
    source: String,
    r#type: &'a str,
    time: String,
    subject: &'a str,
    datacontenttype: &'static str,
    tenant: Uuid,
    aggregatetype: &'a str,
    sequence: String,
    typeversion: u32,
    recordedtime: String,
    position: String,
    #[serde(flatten)]
    who: Who<'a>,
    data: &'a RawValue,
}

/// The parts of the metadata that are useful outside.
#[derive(Serialize, Deserialize)]
struct Who<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    actor: Option<std::borrow::Cow<'a, str>>,
    #[serde(rename(serialize = "correlationid"), default, skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Uuid>,
    #[serde(rename(serialize = "causationid"), default, skip_serializing_if = "Option::is_none")]
    causation_id: Option<Uuid>,
}

/// The tenant of an event. It can be trusted as in the log: the stream is filled only from the log, each message on the condition of the
/// previous sequence.
#[expect(clippy::disallowed_methods, reason = "the tenant of an event of the log, as its relay published it")]
const fn tenant(id: Uuid) -> TenantId {
    TenantId::vouched(id)
}

fn parse<T: FromStr<Err: std::fmt::Display>>(name: &HeaderName, text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{name} is {text:?}: {error}"))
}

/// RFC 3339 in UTC with microseconds, which is the precision of the log.
fn time(time: DateTime<Utc>) -> Result<String, String> {
    let text = time.to_rfc3339_opts(SecondsFormat::Micros, true);
    // RFC 3339 has no form for years with more than four digits.
    if text.len() == "2026-01-01T00:00:00.000000Z".len() { Ok(text) } else { Err(format!("the time {text}")) }
}

fn parse_time(name: &HeaderName, text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text).map(Into::into).map_err(|error| format!("{name} is {text:?}: {error}"))
}

/// Percent-encodes spaces, quotes, percent signs and all characters that are not printable ASCII, as the CloudEvents bindings demand for
/// headers.
fn escape(text: &str) -> String {
    escape_where(text, |byte| matches!(byte, b'"' | b'%') || !byte.is_ascii_graphic())
}

/// Like [`escape`], but leaves quotes, since JSON has many and the metadata header is not an attribute of CloudEvents.
fn escape_json(text: &str) -> String {
    escape_where(text, |byte| byte == b'%' || !byte.is_ascii_graphic())
}

fn escape_where(text: &str, escaped: impl Fn(u8) -> bool) -> String {
    let count = text.bytes().filter(|byte| escaped(*byte)).count();
    if count == 0 {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2 * count);
    for byte in text.bytes() {
        if escaped(byte) {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

fn unescape(name: &HeaderName, text: &str) -> Result<String, String> {
    if !text.contains('%') {
        return Ok(text.to_owned());
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'%' {
            let code = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            out.push(code.ok_or_else(|| format!("{name} has a percent sign without two hexadecimal digits"))?);
            at += 3;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    String::from_utf8(out).map_err(|error| format!("{name}: {error}"))
}

/// The W3C trace context in metadata. It is found without decoding the JSON, because this runs for every event. A context has 55
/// characters, none of which JSON escapes.
fn traceparent(metadata: &str) -> Option<&str> {
    const KEY: &str = r#""traceparent":""#;
    let start = metadata.find(KEY)? + KEY.len();
    let context = metadata.get(start..start + 55)?;
    let valid = context.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    (valid && metadata.get(start + 55..)?.starts_with('"')).then_some(context)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CRM: Service = Service::new("crm");

    prop_compose! {
        fn any_time()(micros in 0_i64..253_402_300_799_000_000) -> DateTime<Utc> {
            DateTime::from_timestamp_micros(micros).unwrap()
        }
    }

    prop_compose! {
        fn any_event()(
            (tenant_id, event_id, position) in (any::<u128>(), any::<u128>(), any::<u64>()),
            (aggregate_type, aggregate_id, event_type) in (".*", "\\PC*|.*", ".*"),
            (sequence, event_version) in (any::<u64>(), any::<u32>()),
            (payload, metadata) in (any::<Vec<u8>>(), ".*"),
            (occurred_at, recorded_at) in (any_time(), any_time()),
        ) -> RecordedEvent {
            RecordedEvent {
                tenant: tenant(Uuid::from_u128(tenant_id)),
                position: Position(position),
                event_id: Uuid::from_u128(event_id),
                aggregate_type,
                aggregate_id,
                sequence,
                event_type,
                event_version,
                payload: payload.into(),
                metadata: metadata.into_bytes().into(),
                occurred_at,
                recorded_at,
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_sent_is_received(event in any_event()) {
            let headers = encode(CRM, &event).unwrap();
            let decoded = decode(CRM, event.position, Some(&headers), event.payload.clone()).unwrap();
            prop_assert_eq!(&decoded, &event);
            // Readers trim white space around a value, and a line break would end the header, so values must have neither.
            for (_, values) in headers.iter() {
                let value = values[0].as_str();
                prop_assert!(value.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }

        #[test]
        fn no_bytes_make_decoding_fail_otherwise_than_by_saying_so(
            values in proptest::collection::vec("[ -~]*", 13), payload in any::<Vec<u8>>()
        ) {
            let names = [&SPEC_VERSION, &ID, &SOURCE, &TYPE, &TIME, &SUBJECT, &TENANT, &AGGREGATE_TYPE, &SEQUENCE, &TYPE_VERSION,
                &RECORDED_TIME, &CONTENT_TYPE, &METADATA];
            let mut headers: HeaderMap = names.into_iter().cloned().zip(values.iter().map(|value| value.parse().unwrap())).collect();
            headers.insert(SOURCE.clone(), "/inopsio/crm");
            prop_assert!(decode(CRM, Position(1), Some(&headers), payload.into()).is_err());
        }
    }

    #[test]
    fn the_trace_of_the_request_is_found_in_the_metadata() {
        let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(&format!(r#"{{"actor":"ada","traceparent":"{context}"}}"#)), Some(context));
        for none in [
            r"{}",
            r#"{"traceparent":"00-x"}"#,
            r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x"}"#,
        ] {
            assert_eq!(traceparent(none), None, "{none}");
        }
    }

    #[test]
    fn an_event_of_another_service_is_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(SOURCE.clone(), "/inopsio/erp");
        let error = decode(CRM, Position(1), Some(&headers), Bytes::new()).unwrap_err();
        assert!(error.contains("/inopsio/erp"), "{error}");
    }

    #[test]
    fn a_structured_event_is_one_line_of_json_with_the_payload_as_stored() {
        let event = RecordedEvent {
            tenant: tenant(Uuid::from_u128(7)),
            position: Position(u64::MAX),
            event_id: Uuid::from_u128(9),
            aggregate_type: "crm.lead".to_owned(),
            aggregate_id: "a-1".to_owned(),
            sequence: 3,
            event_type: "crm.lead.qualified".to_owned(),
            event_version: 2,
            payload: "{\n \"score\": 1.50, \"note\": \"a\\nb\" }".into(),
            metadata: r#"{"actor":"ada","correlation_id":"00000000-0000-0000-0000-000000000001","command_id":"x"}"#
                .into(),
            occurred_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
        };
        let text = String::from_utf8(structured(CRM, &event).unwrap()).unwrap();
        assert!(!text.contains('\n') && text.contains("1.50"), "{text}");
        let expected = serde_json::json!({
            "specversion": "1.0", "id": "00000000-0000-0000-0000-000000000009", "source": "/inopsio/crm",
            "type": "crm.lead.qualified", "time": "1970-01-01T00:00:00.000000Z", "subject": "a-1",
            "datacontenttype": "application/json", "tenant": "00000000-0000-0000-0000-000000000007",
            "aggregatetype": "crm.lead", "sequence": "3", "typeversion": 2,
            "recordedtime": "1970-01-01T00:00:00.000000Z", "position": "18446744073709551615", "actor": "ada",
            "correlationid": "00000000-0000-0000-0000-000000000001", "data": { "score": 1.5, "note": "a\nb" },
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), expected);
        assert!(structured(CRM, &RecordedEvent { payload: "{".into(), ..event }).is_err());
    }
}
