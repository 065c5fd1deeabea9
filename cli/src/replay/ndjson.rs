//! Writes events as JSON lines directly from the stored bytes, without parsing payload and metadata.

use std::io::Write;

use chrono::{DateTime, Datelike, Timelike, Utc};
use kernel::RecordedEvent;

/// Appends one event as a line to `out`.
pub fn write_line(out: &mut Vec<u8>, event: &RecordedEvent) {
    out.extend_from_slice(b"{\"position\":");
    number(out, event.position.0);
    out.extend_from_slice(b",\"tenant_id\":\"");
    out.extend_from_slice(event.tenant.uuid().hyphenated().encode_lower(&mut [0; 36]).as_bytes());
    out.extend_from_slice(b"\",\"aggregate_type\":");
    string(out, &event.aggregate_type);
    out.extend_from_slice(b",\"aggregate_id\":");
    string(out, &event.aggregate_id);
    out.extend_from_slice(b",\"sequence\":");
    number(out, event.sequence);
    out.extend_from_slice(b",\"event_id\":\"");
    out.extend_from_slice(event.event_id.hyphenated().encode_lower(&mut [0; 36]).as_bytes());
    out.extend_from_slice(b"\",\"event_type\":");
    string(out, &event.event_type);
    out.extend_from_slice(b",\"event_version\":");
    number(out, u64::from(event.event_version));
    out.extend_from_slice(b",\"occurred_at\":\"");
    time(out, event.occurred_at);
    out.extend_from_slice(b"\",\"recorded_at\":\"");
    time(out, event.recorded_at);
    out.extend_from_slice(b"\",\"payload\":");
    document(out, &event.payload);
    out.extend_from_slice(b",\"metadata\":");
    document(out, &event.metadata);
    out.extend_from_slice(b"}\n");
}

fn number(out: &mut Vec<u8>, number: u64) {
    // Writing into memory cannot fail.
    let _ = write!(out, "{number}");
}

/// Writes a JSON string. Text that needs no escaping, as most identifiers and names, is copied as it is.
fn string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        // A string is always JSON, and writing into memory cannot fail.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Writes a stored JSON document on one line. We store none with line breaks, but the log may have some. Within JSON strings they are always
/// escaped, so replacing them by spaces does not change the meaning.
fn document(out: &mut Vec<u8>, json: &[u8]) {
    let from = out.len();
    out.extend_from_slice(json);
    if json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        for byte in &mut out[from..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

/// Writes a time as RFC 3339 in UTC with microseconds, the log's precision. chrono's own formatting takes ten times as long.
fn time(out: &mut Vec<u8>, time: DateTime<Utc>) {
    let Ok(year) = u32::try_from(time.year()) else {
        out.extend_from_slice(time.to_rfc3339().as_bytes());
        return;
    };
    digits(out, year, 4);
    out.push(b'-');
    digits(out, time.month(), 2);
    out.push(b'-');
    digits(out, time.day(), 2);
    out.push(b'T');
    digits(out, time.hour(), 2);
    out.push(b':');
    digits(out, time.minute(), 2);
    out.push(b':');
    digits(out, time.second(), 2);
    out.push(b'.');
    digits(out, time.nanosecond() / 1_000 % 1_000_000, 6);
    out.push(b'Z');
}

fn digits(out: &mut Vec<u8>, mut number: u32, width: usize) {
    let from = out.len();
    out.resize(from + width, b'0');
    for digit in out[from..].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Position, TenantId};
    use serde_json::json;

    use super::*;

    fn event(aggregate_id: &str, payload: &'static str) -> RecordedEvent {
        #[expect(clippy::disallowed_methods, reason = "a tenant of this test")]
        let tenant = TenantId::vouched(uuid::Uuid::from_u128(7));
        RecordedEvent {
            tenant,
            position: Position(42),
            event_id: uuid::Uuid::from_u128(9),
            aggregate_type: "crm.lead".to_owned(),
            aggregate_id: aggregate_id.to_owned(),
            sequence: 3,
            event_type: "crm.lead.qualified".to_owned(),
            event_version: 1,
            payload: payload.into(),
            metadata: r#"{"actor":"ada"}"#.into(),
            occurred_at: DateTime::from_timestamp_micros(1_761_999_999_000_007).unwrap(),
            recorded_at: DateTime::from_timestamp_micros(1_762_000_000_123_456).unwrap(),
        }
    }

    fn line(event: &RecordedEvent) -> String {
        let mut out = Vec::new();
        write_line(&mut out, event);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object_with_everything_the_log_has() {
        let line = line(&event("a-1", r#"{"event":"crm.lead.qualified","score":1.50}"#));
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "position": 42,
            "tenant_id": "00000000-0000-0000-0000-000000000007",
            "aggregate_type": "crm.lead",
            "aggregate_id": "a-1",
            "sequence": 3,
            "event_id": "00000000-0000-0000-0000-000000000009",
            "event_type": "crm.lead.qualified",
            "event_version": 1,
            "occurred_at": "2025-11-01T12:26:39.000007Z",
            "recorded_at": "2025-11-01T12:26:40.123456Z",
            "payload": { "event": "crm.lead.qualified", "score": 1.5 },
            "metadata": { "actor": "ada" },
        });
        assert_eq!(parsed, expected);
        assert!(line.contains(r#""score":1.50}"#), "the payload's bytes stay as stored: {line}");
    }

    #[test]
    fn what_would_break_a_line_or_a_string_does_not() {
        let line = line(&event("a\"\\\n\u{1}", "{\"a\":\r\n  \"b\\nc\"\n}"));
        assert_eq!(line.matches('\n').count(), 1);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["aggregate_id"], "a\"\\\n\u{1}");
        assert_eq!(parsed["payload"]["a"], "b\nc");
    }

    #[test]
    fn times_are_written_as_chrono_writes_them() {
        for micros in [0, 1, 951_827_696_999_999, 1_709_164_800_000_000, 253_402_300_799_999_999] {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let mut out = Vec::new();
            time(&mut out, at);
            assert_eq!(String::from_utf8(out).unwrap(), at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
        }
    }
}
