//! Personal data, marked where it stands.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that tells something about a person: a name, an address, a number.
///
/// It never shows itself in logs, traces or error texts: `Debug` is redacted and there is no `Display`; whoever needs the
/// value says so with [`reveal`](Self::reveal).
///
/// In JSON it is the value itself. Where it is going to be kept for ever, in the events of an aggregate that is
/// [`SEALED`](crate::Aggregate::SEALED), it is written [`marked`]: then the log knows what to seal under its person's key. What
/// was sealed and can't be opened any more, because that key was destroyed, is read as a value that is
/// [not known](Self::is_known).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Personal<T> {
    value: T,
    known: bool,
}

/// The member of the object that a marked value is: the log replaces it by one with [`SEALED`].
pub const MARKED: &str = "personal";

/// The member of a marked value that says whose it is, where that is not its own stream's.
pub const OF: &str = "of";

/// The member of the object that a sealed value is.
pub const SEALED: &str = "sealed";

/// Stands for a sealed value where what was sealed is not kept.
const GONE: &str = "";

/// How values are marked.
#[derive(Clone)]
struct Marking {
    /// Whose they are; none: their own stream's.
    of: Option<Rc<str>>,
}

thread_local! {
    static MARKING: RefCell<Option<Marking>> = const { RefCell::new(None) };
}

/// Writes with personal values marked: `{"personal": value}` instead of the value. (serde has no way to hand something down to
/// what it writes, so it is said beside it, for as long as `write` runs.)
pub fn marked<T>(write: impl FnOnce() -> T) -> T {
    marking(Marking { of: None }, write)
}

/// The same, of a person who has a stream of their own, named as `type/id`: `{"personal": value, "of": person}`. What is theirs in many
/// streams is sealed under one key, that of this stream.
pub fn marked_of<T>(person: &str, write: impl FnOnce() -> T) -> T {
    marking(Marking { of: Some(person.into()) }, write)
}

fn marking<T>(marking: Marking, write: impl FnOnce() -> T) -> T {
    /// Says it no more, also when `write` panics.
    struct Guard(Option<Marking>);
    impl Drop for Guard {
        fn drop(&mut self) {
            MARKING.set(self.0.take());
        }
    }
    let _guard = Guard(MARKING.replace(Some(marking)));
    write()
}

/// Whether an event of this type ends what is known of its aggregate: its last name is `erased`, or ends in `_erased`.
pub fn erases(event_type: &str) -> bool {
    event_type.strip_suffix("erased").is_some_and(|before| before.ends_with(['.', '_']))
}

/// Whether an event of this type is the end of its aggregate: its last name is `erased`. What came before it is nothing that anybody
/// decides on any more.
pub fn ends(event_type: &str) -> bool {
    event_type.ends_with(".erased")
}

impl<T> Personal<T> {
    /// Marks a value as personal.
    pub const fn new(value: T) -> Self {
        Self { value, known: true }
    }

    /// The value itself; where it is not known any more, an empty one.
    pub const fn reveal(&self) -> &T {
        &self.value
    }

    /// The value itself, taken out.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// The value itself, if it is known.
    pub fn known(&self) -> Option<&T> {
        self.known.then_some(&self.value)
    }

    /// Whether the value is known. It is not when it was sealed and its key is destroyed.
    pub const fn is_known(&self) -> bool {
        self.known
    }
}

impl<T: Default> Personal<T> {
    /// A value that nobody knows any more.
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
        // What stands within a marked value is sealed with it: it is not marked itself.
        if let Some(marking) = MARKING.take() {
            let written = member(serializer, MARKED, &self.value, marking.of.as_deref());
            MARKING.set(Some(marking));
            return written;
        }
        self.value.serialize(serializer)
    }
}

/// An object with one member, and perhaps whose that is.
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

/// How a personal value may stand in JSON.
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

/// To whom may read it, it is the value itself; that it is personal, the contract says.
impl<T: JsonSchema> JsonSchema for Personal<T> {
    fn schema_name() -> Cow<'static, str> {
        // Nearly all are texts, which have no name of their own.
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
