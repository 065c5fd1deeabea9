//! Events with fixed wire names and versions, so that renaming a Rust type cannot make stored events unreadable.

use schemars::Schema;

use crate::Upcast;

/// The events of one aggregate. Implemented by [`events!`](crate::events), never by hand.
pub trait Event: cqrs_es::DomainEvent + 'static {
    /// The wire name, for example `crm.lead.qualified`.
    fn name(&self) -> &'static str;

    /// The version of the payload's schema, from 1.
    fn version(&self) -> u32;

    /// Decodes a stored event, given its type, version and payload, to current events. Retired versions stay decodable: they are upcast.
    ///
    /// # Errors
    /// [`DecodeError`].
    fn decode(event_type: &str, version: u32, payload: &[u8]) -> Result<Upcast<Self>, DecodeError>;

    /// Every type and version that the log may contain, with its JSON Schema.
    fn event_types() -> Vec<EventType>;
}

/// A type of events, in one version.
#[derive(Clone, Debug)]
pub struct EventType {
    /// `service.aggregate`.
    pub aggregate_type: &'static str,
    /// Wire name.
    pub name: &'static str,
    /// Version of the payload's schema.
    pub version: u32,
    /// Whether this version is only read: stored events of it are upcast, and no new ones are written.
    pub retired: bool,
    /// JSON Schema (2020-12) of the payload.
    pub schema: Schema,
}

/// A stored event that this program cannot decode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The aggregate has no such type or version: perhaps a newer version of the program wrote it.
    #[error("unknown event {event_type} version {version} of {aggregate_type}")]
    Unknown {
        /// The aggregate.
        aggregate_type: &'static str,
        /// The event's wire name.
        event_type: String,
        /// The event's version.
        version: u32,
    },
    /// The payload does not match the schema of its type.
    #[error("event {event_type} version {version} can't be read: {reason}")]
    Payload {
        /// The event's wire name.
        event_type: String,
        /// The event's version.
        version: u32,
        /// The error message of serde.
        reason: String,
    },
}

/// Declares the events of one aggregate: an enum, a struct for each event, their pinned wire names and versions, decoding,
/// and the list of their types.
///
/// ```
/// kernel::events! {
///     /// What can happen to a lamp.
///     pub enum LampEvent of "demo.lamp" {
///         /// It was switched on.
///         LampLit = "demo.lamp.lit" @ 1 {
///             /// Brightness in per cent.
///             pub brightness: u8,
///         },
///         /// It was switched off.
///         LampDimmed = "demo.lamp.dimmed" @ 1 {},
///     }
/// }
/// use kernel::Event;
/// let event = LampEvent::from(LampLit { brightness: 80 });
/// let stored = serde_json::to_string(&event)?;
/// assert_eq!(stored, r#"{"event":"demo.lamp.lit","brightness":80}"#);
/// assert_eq!(LampEvent::decode("demo.lamp.lit", 1, stored.as_bytes())?, event.into());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The payload contains its event's name (`"event"`), so that it can be read on its own. A field that is added to an existing version must
/// be optional (`#[serde(default)]`); any other change of the schema needs a new version. Keep the old struct in the `retired` list, with a
/// closure that upcasts it to one current event or several:
///
/// ```
/// kernel::events! {
///     /// What can happen to a lamp.
///     pub enum LampEvent of "demo.lamp" {
///         /// It was switched on.
///         LampLit = "demo.lamp.lit" @ 2 { pub brightness: u8 },
///         /// It was turned to another colour.
///         LampColoured = "demo.lamp.coloured" @ 1 { pub colour: String },
///     }
///     retired {
///         /// Until 2026-12 a lamp was lit in a colour, and as bright as it could be.
///         LampLitV1 = "demo.lamp.lit" @ 1 { pub colour: String } => |old| vec![
///             LampLit { brightness: 100 }.into(),
///             LampColoured { colour: old.colour }.into(),
///         ],
///     }
/// }
/// use kernel::Event;
/// let today = LampEvent::decode("demo.lamp.lit", 1, br#"{"event":"demo.lamp.lit","colour":"red"}"#)?;
/// assert_eq!(today.into_iter().count(), 2);
/// # Ok::<(), kernel::DecodeError>(())
/// ```
///
/// The events of an upcast share the position, sequence, times and metadata of the stored event: they happened together, and a reader of
/// the history sees all of them or none. An upcast yields current events directly (not another retired version), and at least one.
#[macro_export]
macro_rules! events {
    (
        $(#[$enum_meta:meta])*
        pub enum $enum:ident of $aggregate:literal {
            $(
                $(#[$meta:meta])*
                $name:ident = $wire:literal @ $version:literal {
                    $($(#[$field_meta:meta])* pub $field:ident : $ty:ty),* $(,)?
                }
            ),+ $(,)?
        }
        $(retired {
            $(
                $(#[$old_meta:meta])*
                $old:ident = $old_wire:literal @ $old_version:literal {
                    $($(#[$old_field_meta:meta])* pub $old_field:ident : $old_ty:ty),* $(,)?
                } => $upcast:expr
            ),+ $(,)?
        })?
    ) => {
        $(
            $(#[$meta])*
            #[derive(
                Clone, Debug, PartialEq,
                $crate::reexport::Serialize, $crate::reexport::Deserialize, $crate::reexport::JsonSchema,
            )]
            #[serde(crate = "::kernel::reexport::serde")]
            #[schemars(crate = "::kernel::reexport::schemars", title = $wire)]
            pub struct $name { $($(#[$field_meta])* pub $field: $ty),* }

            impl From<$name> for $enum {
                fn from(event: $name) -> Self {
                    Self::$name(event)
                }
            }
        )+
        $($(
            $(#[$old_meta])*
            #[derive(Clone, Debug, PartialEq, $crate::reexport::Deserialize, $crate::reexport::JsonSchema)]
            #[serde(crate = "::kernel::reexport::serde")]
            #[schemars(crate = "::kernel::reexport::schemars", title = $old_wire)]
            pub struct $old { $($(#[$old_field_meta])* pub $old_field: $old_ty),* }
        )+)?

        $(#[$enum_meta])*
        #[derive(Clone, Debug, PartialEq, $crate::reexport::Serialize, $crate::reexport::Deserialize)]
        #[serde(crate = "::kernel::reexport::serde", tag = "event")]
        pub enum $enum {
            $(
                $(#[$meta])*
                #[serde(rename = $wire)]
                $name($name),
            )+
        }

        impl $crate::reexport::DomainEvent for $enum {
            fn event_type(&self) -> String {
                $crate::Event::name(self).to_owned()
            }

            fn event_version(&self) -> String {
                $crate::Event::version(self).to_string()
            }
        }

        impl $crate::Event for $enum {
            fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $wire),+ }
            }

            fn version(&self) -> u32 {
                match self { $(Self::$name(_) => $version),+ }
            }

            fn decode(
                event_type: &str,
                version: u32,
                payload: &[u8],
            ) -> Result<$crate::Upcast<Self>, $crate::DecodeError> {
                let unreadable = |error: $crate::reexport::JsonError| $crate::DecodeError::Payload {
                    event_type: event_type.to_owned(),
                    version,
                    reason: error.to_string(),
                };
                match (event_type, version) {
                    $(($wire, $version) => {
                        $crate::reexport::from_slice::<$name>(payload)
                            .map(|event| $crate::Upcast::from(Self::$name(event)))
                            .map_err(unreadable)
                    })+
                    $($(($old_wire, $old_version) => {
                        let upcast: fn($old) -> ::std::vec::Vec<Self> = $upcast;
                        let today = $crate::reexport::from_slice::<$old>(payload).map(upcast).map_err(unreadable)?;
                        $crate::Upcast::several(today, event_type, version)
                    })+)?
                    _ => Err($crate::DecodeError::Unknown {
                        aggregate_type: $aggregate,
                        event_type: event_type.to_owned(),
                        version,
                    }),
                }
            }

            fn event_types() -> Vec<$crate::EventType> {
                vec![
                    $($crate::EventType {
                        aggregate_type: $aggregate,
                        name: $wire,
                        version: $version,
                        retired: false,
                        schema: $crate::event::payload_schema::<$name>($wire),
                    },)+
                    $($($crate::EventType {
                        aggregate_type: $aggregate,
                        name: $old_wire,
                        version: $old_version,
                        retired: true,
                        schema: $crate::event::payload_schema::<$old>($old_wire),
                    },)+)?
                ]
            }
        }
    };
}

/// The JSON Schema of a payload as stored: the event's own fields, and the member `event` with its name.
#[doc(hidden)]
pub fn payload_schema<T: schemars::JsonSchema>(wire: &'static str) -> Schema {
    let mut schema = schemars::schema_for!(T);
    let object = schema.ensure_object();
    let properties = object.entry("properties").or_insert_with(|| serde_json::json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("event".to_owned(), serde_json::json!({ "const": wire }));
    }
    let required = object.entry("required").or_insert_with(|| serde_json::json!([]));
    if let Some(required) = required.as_array_mut() {
        required.insert(0, "event".into());
    }
    schema
}
