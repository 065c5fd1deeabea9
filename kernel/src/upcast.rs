//! [`Upcast`]: the current events that a stored event decodes to.

use crate::DecodeError;

/// One current event, or several that happened together: they share the stored event's position, sequence, times and metadata, and are in
/// order. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcast<E> {
    first: E,
    rest: Vec<E>,
}

impl<E> From<E> for Upcast<E> {
    fn from(event: E) -> Self {
        Self { first: event, rest: Vec::new() }
    }
}

impl<E> Upcast<E> {
    /// The events that a retired version was upcast to.
    ///
    /// # Errors
    /// [`DecodeError::Payload`] for an empty list: readers would see a gap in the stream.
    pub fn several(events: Vec<E>, event_type: &str, version: u32) -> Result<Self, DecodeError> {
        let mut events = events.into_iter();
        match events.next() {
            Some(first) => Ok(Self { first, rest: events.collect() }),
            None => Err(DecodeError::Payload {
                event_type: event_type.to_owned(),
                version,
                reason: "its upcast gives no event".to_owned(),
            }),
        }
    }
}

impl<E> IntoIterator for Upcast<E> {
    type Item = E;
    type IntoIter = std::iter::Chain<std::iter::Once<E>, std::vec::IntoIter<E>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::Upcast;
    use crate::Event;

    crate::events! {
        /// What can happen to a lamp.
        pub enum LampEvent of "demo.lamp" {
            /// It was switched on.
            LampLit = "demo.lamp.lit" @ 3 { pub brightness: u8 },
            /// It was turned to another colour.
            LampColoured = "demo.lamp.coloured" @ 1 { pub colour: String },
        }
        retired {
            /// The first form: brightness as a word.
            LampLitV1 = "demo.lamp.lit" @ 1 { pub brightness: String } => |old| match old.brightness.as_str() {
                "full" => vec![LampLit { brightness: 100 }.into()],
                _ => vec![],
            },
            /// The second form: brightness and colour.
            LampLitV2 = "demo.lamp.lit" @ 2 { pub brightness: u8, pub colour: String } => |old| vec![
                LampLit { brightness: old.brightness }.into(),
                LampColoured { colour: old.colour }.into(),
            ],
        }
    }

    fn decode(version: u32, payload: &str) -> Result<Vec<LampEvent>, String> {
        let decoded = LampEvent::decode("demo.lamp.lit", version, payload.as_bytes());
        decoded.map(|today| today.into_iter().collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_retired_form_becomes_one_current_event_or_several_in_order() {
        let lit = |brightness| LampEvent::from(LampLit { brightness });
        let red = LampEvent::from(LampColoured { colour: "red".to_owned() });
        assert_eq!(decode(3, r#"{"brightness":7}"#), Ok(vec![lit(7)]));
        assert_eq!(decode(1, r#"{"brightness":"full"}"#), Ok(vec![lit(100)]));
        assert_eq!(decode(2, r#"{"brightness":40,"colour":"red"}"#), Ok(vec![lit(40), red]));
    }

    #[test]
    fn what_cannot_be_upcast_is_an_error_that_names_the_stored_form() {
        let error = decode(1, r#"{"brightness":"dim"}"#).unwrap_err();
        assert!(error.contains("demo.lamp.lit version 1") && error.contains("no event"), "{error}");
        let error = decode(2, r#"{"brightness":40}"#).unwrap_err();
        assert!(error.contains("demo.lamp.lit version 2") && error.contains("colour"), "{error}");
        assert!(decode(4, "{}").unwrap_err().contains("unknown event"));
    }

    #[test]
    fn the_catalogue_says_which_forms_are_only_read() {
        let forms: Vec<_> =
            LampEvent::event_types().iter().map(|form| (form.name, form.version, form.retired)).collect();
        let expected = [
            ("demo.lamp.lit", 3, false),
            ("demo.lamp.coloured", 1, false),
            ("demo.lamp.lit", 1, true),
            ("demo.lamp.lit", 2, true),
        ];
        assert_eq!(forms, expected);
    }

    #[test]
    fn one_event_is_an_upcast_of_itself() {
        assert_eq!(Upcast::from(7).into_iter().collect::<Vec<_>>(), [7]);
    }
}
