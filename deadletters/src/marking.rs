//! Finds the personal data in an edited payload, so that it is encrypted like that of events, under the key of the person.
//!
//! In events, the Rust types say which values are personal. The payload of an edit is JSON text, so the types are tested: if a value is
//! replaced by the form of an erased one, and the payload can be decoded and still has one more erased value when it is encoded again, then
//! the value is personal.

use std::collections::BTreeSet;

use eventstore::sealing;
use kernel::personal::{MARKED, OF, SEALED};
use kernel::{AggregateType, RecordedEvent};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Value, json};

/// The maximum number of values of a payload that are tested; all later ones are treated as personal.
const ASKED: usize = 500;
/// The JSON form of an erased value.
const GONE: &str = "{\"sealed\":\"\"}";

/// Returns an edited payload as text, with personal values marked for encryption if its aggregate type is `known` and has any. `stored` is
/// the event with its payload as stored in the log; `before` is the payload that the edit replaces, as it is stored.
///
/// Ciphertexts stay only where the event or `before` has them, whatever the aggregate. Another one may be somebody else's: whoever knows
/// one, from a backup perhaps, would have it decrypted when the edit is shown.
pub(crate) fn marked(known: Option<&AggregateType>, stored: &RecordedEvent, before: &str, payload: &Value) -> String {
    let own = String::from_utf8_lossy(&stored.payload);
    let payload = &without_others(payload, &[&own, before]);
    let Some(known) = known.filter(|known| known.sealed) else { return payload.to_string() };
    let of = sealing::named(&stored.payload);
    let today = |payload: &Value| {
        let today = (known.current_events)(&stored.event_type, stored.event_version, payload.to_string().as_bytes());
        today.ok().map(|today| Value::from(today).to_string().matches(GONE).count())
    };
    let marks = match today(payload) {
        Some(gone) => personal(payload, |payload| today(payload).map(|now| now > gone)),
        // The payload can't be decoded, so nothing is known about its values: mark all that may be personal.
        None => texts(payload),
    };
    let marked = Marked { value: payload, at: String::new(), marks: &marks, of: of.as_deref() };
    serde_json::to_string(&marked).unwrap_or_else(|_| payload.to_string())
}

/// The JSON pointers of personal values. `forgets` tells whether a payload in which a value was replaced by an erased one still has it when
/// decoded; `None`: it can't be decoded.
fn personal(payload: &Value, forgets: impl Fn(&Value) -> Option<bool>) -> BTreeSet<String> {
    let (mut marks, mut asked) = (BTreeSet::new(), 0);
    let mut waiting = within("", payload);
    while let Some(at) = waiting.pop() {
        let Some(value) = payload.pointer(&at).filter(|value| !value.is_null() && !is_sealed(value)) else { continue };
        let inner = within(&at, value);
        let mut without = payload.clone();
        if let Some(place) = without.pointer_mut(&at) {
            *place = json!({ SEALED: "" });
        }
        asked += 1;
        let is_personal = asked > ASKED
            || match forgets(&without) {
                // The types ignore this value, so it may be a misspelt member with personal data. Encrypting it does no harm.
                Some(forgets) => forgets || inner.is_empty(),
                None => false,
            };
        if is_personal {
            marks.insert(at);
        } else {
            waiting.extend(inner);
        }
    }
    marks
}

/// The JSON pointers of all strings and numbers.
fn texts(payload: &Value) -> BTreeSet<String> {
    let mut marks = BTreeSet::new();
    let mut waiting = within("", payload);
    while let Some(at) = waiting.pop() {
        match payload.pointer(&at) {
            Some(Value::String(_) | Value::Number(_)) => _ = marks.insert(at),
            Some(value) => waiting.extend(within(&at, value)),
            None => {}
        }
    }
    marks
}

/// The JSON pointers of a value's members or elements. Excludes the contents of encrypted values and the event's name.
fn within(at: &str, value: &Value) -> Vec<String> {
    match value {
        value if is_sealed(value) => Vec::new(),
        Value::Object(members) => members.keys().map(|key| member(at, key)).filter(|place| place != "/event").collect(),
        Value::Array(elements) => (0..elements.len()).map(|nth| format!("{at}/{nth}")).collect(),
        _ => Vec::new(),
    }
}

fn is_sealed(value: &Value) -> bool {
    value.as_object().is_some_and(|members| members.len() == 1 && members.contains_key(SEALED))
}

/// The payload with the form of erased values in the place of ciphertexts that are in none of these payloads.
fn without_others(payload: &Value, own: &[&str]) -> Value {
    match payload {
        value if is_sealed(value) => {
            let text = value.to_string();
            if own.iter().any(|own| own.contains(&text)) { value.clone() } else { json!({ SEALED: "" }) }
        }
        Value::Object(members) => {
            members.iter().map(|(key, value)| (key.clone(), without_others(value, own))).collect()
        }
        Value::Array(elements) => elements.iter().map(|element| without_others(element, own)).collect(),
        value => value.clone(),
    }
}

fn member(at: &str, key: &str) -> String {
    format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// A value that is serialized with marks.
struct Marked<'a> {
    value: &'a Value,
    at: String,
    marks: &'a BTreeSet<String>,
    of: Option<&'a str>,
}

impl<'a> Marked<'a> {
    fn within(&self, at: String, value: &'a Value) -> Self {
        Marked { value, at, marks: self.marks, of: self.of }
    }
}

impl Serialize for Marked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.marks.contains(&self.at) {
            let mut map = serializer.serialize_map(Some(1 + usize::from(self.of.is_some())))?;
            map.serialize_entry(MARKED, self.value)?;
            if let Some(of) = self.of {
                map.serialize_entry(OF, of)?;
            }
            return map.end();
        }
        match self.value {
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (key, value) in members {
                    map.serialize_entry(key, &self.within(member(&self.at, key), value))?;
                }
                map.end()
            }
            Value::Array(elements) => {
                let mut list = serializer.serialize_seq(Some(elements.len()))?;
                for (nth, value) in elements.iter().enumerate() {
                    list.serialize_element(&self.within(format!("{}/{nth}", self.at), value))?;
                }
                list.end()
            }
            value => value.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use kernel::Personal;
    use serde::Deserialize;

    use super::*;

    #[derive(serde::Serialize, Deserialize)]
    struct Note {
        name: Personal<String>,
        #[serde(default)]
        phones: Vec<Personal<String>>,
        #[serde(default)]
        more: More,
        count: u32,
    }

    #[derive(Default, serde::Serialize, Deserialize)]
    struct More {
        #[serde(default)]
        city: Option<String>,
        #[serde(default)]
        nick: Option<Personal<String>>,
    }

    const NOTES: AggregateType = AggregateType {
        name: "demo.note",
        event_types: Vec::new,
        decode: |_, _, _| Ok(1),
        current_events: |event_type, event_version, payload| {
            let unreadable = |error: &serde_json::Error| kernel::DecodeError::Payload {
                event_type: event_type.to_owned(),
                version: event_version,
                reason: error.to_string(),
            };
            let note: Note = serde_json::from_slice(payload).map_err(|error| unreadable(&error))?;
            Ok(vec![serde_json::to_value(note).map_err(|error| unreadable(&error))?])
        },
        state: |_| Ok(Value::Null),
        resume: |state, _| Ok(state),
        form: 1,
        sealed: true,
    };

    fn stored(payload: &str) -> RecordedEvent {
        RecordedEvent { payload: payload.to_owned().into(), ..testbed::event(1) }
    }

    #[test]
    fn what_the_types_say_is_personal_is_marked_and_nothing_else_that_they_read() {
        let typed = json!({
            "event": "demo.note.written", "name": "Ada", "phones": ["1", "2"], "count": 3,
            "more": { "city": "London", "nick": "A" },
        });
        let marked = marked(Some(&NOTES), &stored(r#"{"count":"three"}"#), "", &typed);
        let expected = json!({
            "event": "demo.note.written", "name": { "personal": "Ada" },
            "phones": [{ "personal": "1" }, { "personal": "2" }], "count": 3,
            "more": { "city": "London", "nick": { "personal": "A" } },
        });
        assert_eq!(serde_json::from_str::<Value>(&marked).unwrap(), expected);
    }

    #[test]
    fn what_nothing_reads_and_all_of_what_cannot_be_read_is_marked() {
        let slip = marked(Some(&NOTES), &stored("{}"), "", &json!({ "name": "Ada", "nmae": "Lovelace", "count": 3 }));
        assert!(slip.contains(r#""nmae":{"personal":"Lovelace"}"#), "{slip}");
        let unread = json!({ "event": "demo.note.written", "name": "Ada", "count": "three", "more": null });
        let unread = marked(Some(&NOTES), &stored("{}"), "", &unread);
        let expected = json!({
            "event": "demo.note.written", "name": { "personal": "Ada" }, "count": { "personal": "three" }, "more": null,
        });
        assert_eq!(serde_json::from_str::<Value>(&unread).unwrap(), expected);
    }

    #[test]
    fn whose_it_is_stays_as_the_event_says_and_what_is_sealed_is_left_alone() {
        let event = stored(r#"{"name":{"sealed":"v1.abc@demo.person/7"},"phones":[{"sealed":"v1.def"}],"count":1}"#);
        let typed = json!({ "name": "Ada", "phones": [{ "sealed": "v1.def" }, { "sealed": "v1.ghi" }], "count": 1 });
        let marked = marked(Some(&NOTES), &event, r#"{"more":{"nick":{"sealed":"v1.ghi"}}}"#, &typed);
        assert!(marked.contains(r#""name":{"personal":"Ada","of":"demo.person/7"}"#), "{marked}");
        assert!(marked.contains(r#""phones":[{"sealed":"v1.def"},{"sealed":"v1.ghi"}]"#), "{marked}");
    }

    #[test]
    fn attack_184_what_is_sealed_elsewhere_is_not_taken() {
        let event = stored(r#"{"name":{"sealed":"v1.abc"},"count":1}"#);
        let typed = json!({
            "name": { "sealed": "v1.abc@demo.person/8" }, "phones": [{ "sealed": "v1.ab" }, { "sealed": "" }], "count": 1,
        });
        let marked = marked(Some(&NOTES), &event, "{}", &typed);
        assert!(!marked.contains("v1."), "{marked}");
        assert_eq!(marked.matches(GONE).count(), 3, "{marked}");
    }

    #[test]
    fn of_an_aggregate_that_is_not_sealed_or_not_known_nothing_is() {
        let open = AggregateType { sealed: false, ..NOTES };
        let typed = json!({ "name": "Ada", "count": 1 });
        for known in [Some(&open), None] {
            assert_eq!(marked(known, &stored("{}"), "", &typed), typed.to_string());
        }
    }

    #[test]
    fn attack_184_what_is_sealed_elsewhere_is_not_taken_where_nothing_is_sealed_either() {
        let open = AggregateType { sealed: false, ..NOTES };
        let typed = json!({ "name": "Ada", "aside": [{ "sealed": "v1.abc@demo.person/8" }], "count": 1 });
        let expected = json!({ "name": "Ada", "aside": [{ "sealed": "" }], "count": 1 });
        for known in [Some(&open), None] {
            assert_eq!(marked(known, &stored("{}"), "", &typed), expected.to_string());
        }
    }
}
