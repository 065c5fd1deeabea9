//! [`Personal`]: personal data, which the type system marks so that it is redacted in logs and encrypted in the event log.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that tells something about a person: a name, an address, a number.
///
/// Logs, traces and error texts never show it: `Debug` is redacted and there is no `Display`. Code that needs the value calls
/// [`reveal`](Self::reveal).
///
/// In JSON it is the value itself. In the events of an aggregate that is [`SEALED`](crate::Aggregate::SEALED), which are kept for ever, it
/// is written [`marked`], which tells the log to encrypt ("seal") it under the key of its data subject. A sealed value that can't be
/// decrypted any more, because its key was destroyed, is read as a value that is [not known](Self::is_known).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Personal<T> {
    value: T,
    known: bool,
}

/// The member of the JSON object that represents a marked value. The log replaces this object by one with the member [`SEALED`].
pub const MARKED: &str = "personal";

/// The member of a marked value that names its data subject, if that is not the event's own stream.
pub const OF: &str = "of";

/// The member of the JSON object that represents a sealed value.
pub const SEALED: &str = "sealed";

/// The ciphertext that is written for an unknown value: the original one is not kept.
const GONE: &str = "";

/// How the values that are being serialised are marked.
#[derive(Clone)]
struct Marking {
    /// The data subject, as `type/id`; `None`: the event's own stream.
    of: Option<Rc<str>>,
}

thread_local! {
    static MARKING: RefCell<Option<Marking>> = const { RefCell::new(None) };
}

/// Runs `write` so that it serialises personal values in marked form: `{"personal": value}` instead of the value. (serde can't pass a
/// parameter down to nested values, so this is a thread-local setting for as long as `write` runs.)
pub fn marked<T>(write: impl FnOnce() -> T) -> T {
    marking(Marking { of: None }, write)
}

/// As [`marked`], for a data subject with a stream of their own, named as `type/id`: `{"personal": value, "of": person}`. Their values in
/// all streams are sealed under one key, that of their own stream.
pub fn marked_of<T>(person: &str, write: impl FnOnce() -> T) -> T {
    marking(Marking { of: Some(person.into()) }, write)
}

fn marking<T>(marking: Marking, write: impl FnOnce() -> T) -> T {
    /// Restores the former setting, also when `write` panics.
    struct Guard(Option<Marking>);
    impl Drop for Guard {
        fn drop(&mut self) {
            MARKING.set(self.0.take());
        }
    }
    let _guard = Guard(MARKING.replace(Some(marking)));
    write()
}

/// Whether an event of this type erases the personal data of its aggregate: the last part of its name is `erased`, or ends in `_erased`.
pub fn erases(event_type: &str) -> bool {
    event_type.strip_suffix("erased").is_some_and(|before| before.ends_with(['.', '_']))
}

/// Whether an event of this type is the last of its aggregate: the last part of its name is `erased`. No decision needs the events before
/// it.
pub fn ends(event_type: &str) -> bool {
    event_type.ends_with(".erased")
}

impl<T> Personal<T> {
    /// Marks a value as personal.
    pub const fn new(value: T) -> Self {
        Self { value, known: true }
    }

    /// The value; for an unknown one, the default.
    pub const fn reveal(&self) -> &T {
        &self.value
    }

    /// The value, by move.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The value, if it is known.
    pub fn known(&self) -> Option<&T> {
        self.known.then_some(&self.value)
    }

    /// Whether the value is known. It is not if it was sealed and its key has been destroyed.
    pub const fn is_known(&self) -> bool {
        self.known
    }
}

impl<T: Default> Personal<T> {
    /// An unknown value: its key has been destroyed.
    pub fn forgotten() -> Self {
        Self { value: T::default(), known: false }
    }
}

impl<T: Default> Default for Personal<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Personal<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Personal(…)")
    }
}

impl<T: Serialize> Serialize for Personal<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.known {
            return member(serializer, SEALED, GONE, None);
        }
        // A personal value inside a marked one is not marked itself: it is sealed as part of the outer one.
        if let Some(marking) = MARKING.take() {
            let written = member(serializer, MARKED, &self.value, marking.of.as_deref());
            MARKING.set(Some(marking));
            return written;
        }
        self.value.serialize(serializer)
    }
}

/// Writes an object with the member `name`, and the member `of` if there is a data subject.
fn member<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    name: &str,
    value: &T,
    of: Option<&str>,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1 + usize::from(of.is_some())))?;
    map.serialize_entry(name, value)?;
    if let Some(of) = of {
        map.serialize_entry(OF, of)?;
    }
    map.end()
}

/// The JSON forms of a personal value.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form<T> {
    Sealed(#[expect(dead_code, reason = "that it has this form is all that matters")] SealedForm),
    Value(T),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedForm {
    #[serde(rename = "sealed")]
    _sealed: String,
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Personal<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Form::<T>::deserialize(deserializer)? {
            Form::Sealed(_) => Self::forgotten(),
            Form::Value(value) => Self::new(value),
        })
    }
}

/// The schema of the value itself, with a description that says that it is personal and may be sealed.
impl<T: JsonSchema> JsonSchema for Personal<T> {
    fn schema_name() -> Cow<'static, str> {
        // Most personal values are plain strings, whose type has no name in the schema.
        if T::inline_schema() { "Personal".into() } else { format!("Personal{}", T::schema_name()).into() }
    }

    fn schema_id() -> Cow<'static, str> {
        format!("kernel::Personal<{}>", T::schema_id()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        let description = "Personal data, such as a name, an address or a number. It may be sealed: then it is an object with the \
                           single member `sealed`, encrypted under the person's own key. The log stores it sealed, and it stays \
                           sealed for everybody once the person is erased.";
        schemars::json_schema!({
            "description": description,
            "anyOf": [value, {
                "type": "object",
                "properties": { "sealed": { "type": "string" } },
                "required": ["sealed"],
                "additionalProperties": false,
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Person {
        name: Personal<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phone: Option<Personal<String>>,
        title: String,
    }

    fn ada() -> Person {
        Person { name: "Ada".to_owned().into(), phone: None, title: "Countess".to_owned() }
    }

    fn json(person: &Person) -> String {
        serde_json::to_string(person).unwrap()
    }

    #[test]
    fn it_is_written_as_it_is_and_marked_only_where_that_is_said() {
        assert_eq!(json(&ada()), r#"{"name":"Ada","title":"Countess"}"#);
        let marked = marked(|| json(&ada()));
        assert_eq!(marked, r#"{"name":{"personal":"Ada"},"title":"Countess"}"#);
        assert_eq!(json(&ada()), r#"{"name":"Ada","title":"Countess"}"#, "and then no more");
    }

    #[test]
    fn it_is_marked_as_somebodys_where_that_is_said() {
        let ada = Person { phone: Some("+49".to_owned().into()), ..ada() };
        let marked = marked_of("auth.account/7", || json(&ada));
        let expected = r#"{"name":{"personal":"Ada","of":"auth.account/7"},"phone":{"personal":"+49","of":"auth.account/7"},"title":"Countess"}"#;
        assert_eq!(marked, expected);
    }

    #[test]
    fn what_is_sealed_and_was_not_opened_is_not_known_and_stays_so() {
        let read = |text: &str| serde_json::from_str::<Person>(text).unwrap();
        assert_eq!(read(r#"{"name":"Ada","title":"Countess"}"#), ada());
        let gone = read(r#"{"name":{"sealed":"v1.abc"},"phone":{"sealed":"v1.def"},"title":"Countess"}"#);
        assert!(!gone.name.is_known() && gone.name.reveal().is_empty() && gone.phone.is_some());
        assert_eq!(read(&json(&gone)), gone);
        assert_eq!(read(&marked(|| json(&gone))), gone);
        assert!(serde_json::from_str::<Person>(r#"{"name":{"other":"x"},"title":""}"#).is_err());
    }

    #[test]
    fn it_does_not_show_itself() {
        assert!(!format!("{:?}", ada()).contains("Ada"));
    }
}
