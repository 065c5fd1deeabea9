//! The facts of a saga: the events of an instance, with the wire names of its service.

use chrono::{DateTime, Utc};
use kernel::reexport::DomainEvent;
use kernel::{DecodeError, Event, EventType, Upcast};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use uuid::Uuid;

use crate::Names;

/// Declares the facts: an enum, a struct for each, and their relation to the wire names.
macro_rules! facts {
    ($(
        $(#[$meta:meta])*
        $name:ident = $wire:ident {
            $($(#[$field_meta:meta])* $field:ident : $ty:ty),* $(,)?
        }
    ),+ $(,)?) => {
        $(
            $(#[$meta])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
            pub struct $name { $($(#[$field_meta])* pub $field: $ty),* }

            impl From<$name> for Fact {
                fn from(fact: $name) -> Self {
                    Self::$name(fact)
                }
            }
        )+

        /// Something that happened to an instance.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Fact {
            $($(#[$meta])* $name($name),)+
        }

        impl Fact {
            fn name<N: Names>(&self) -> &'static str {
                match self { $(Self::$name(_) => N::$wire),+ }
            }

            fn write<N: Names, S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$name(fact) => Stored { event: N::$wire, fact }.serialize(serializer)),+ }
            }

            fn read<N: Names>(name: &str, payload: Value) -> Result<Option<Self>, serde_json::Error> {
                $(if name == N::$wire {
                    return serde_json::from_value::<$name>(payload).map(|fact| Some(Self::$name(fact)));
                })+
                Ok(None)
            }

            fn event_types<N: Names>() -> Vec<EventType> {
                vec![$(EventType {
                    aggregate_type: N::TYPE,
                    name: N::$wire,
                    version: VERSION,
                    retired: false,
                    schema: titled(kernel::event::payload_schema::<$name>(N::$wire), N::$wire),
                }),+]
            }
        }
    };
}

/// The version of every fact's form.
const VERSION: u32 = 1;

facts! {
    /// A saga began.
    Started = STARTED {
        /// The saga's name, such as `follow_up_lead`.
        saga: String,
        /// The version of its definition, on which it also ends.
        definition: u32,
        /// What it is about: the id by which events find it.
        key: String,
        /// What it works with. No personal data: names and addresses are looked up where they are.
        parameters: Value,
        /// The event that started it.
        trigger: Uuid,
        /// The same through all that one request caused.
        correlation: Uuid,
    },
    /// A step, or its undo, is about to run: written before its first command.
    StepBegun = STEP_BEGUN {
        /// The step's name.
        step: String,
        /// Whether it is the step's undo.
        undo: bool,
        /// Counts the batches of a step, from 0.
        turn: u32,
        /// How often it was begun since it last got on, from 1.
        attempt: u32,
        /// When the step was first begun: its time limit counts from here.
        since: DateTime<Utc>,
    },
    /// A batch is done, there are more.
    StepContinued = STEP_CONTINUED {
        /// The step's name.
        step: String,
        /// Whether it is the step's undo.
        undo: bool,
        /// What the next turn goes on from.
        progress: Value,
    },
    /// It waits: until this time, or until it hears something.
    StepWaiting = STEP_WAITING {
        /// The step's name.
        step: String,
        /// Whether it is the step's undo.
        undo: bool,
        /// When it looks again at the latest.
        until: DateTime<Utc>,
    },
    /// An attempt failed and is made again.
    StepFailed = STEP_FAILED {
        /// The step's name.
        step: String,
        /// Whether it is the step's undo.
        undo: bool,
        /// Stable, for programs.
        code: String,
        /// For people.
        reason: String,
        /// When.
        retry_at: DateTime<Utc>,
    },
    /// A step is done, or undone.
    StepDone = STEP_DONE {
        /// The step's name.
        step: String,
        /// Whether it is the step's undo.
        undo: bool,
        /// What later steps and its undo need to know.
        result: Value,
    },
    /// What was done is taken back from here on.
    Unwinding = UNWINDING {
        /// Why: `cancelled`, or the code of what failed.
        code: String,
        /// The same, for people.
        reason: String,
    },
    /// It came to its end.
    Completed = COMPLETED {
        /// How: `done`, or why the other steps were not needed.
        outcome: String,
    },
    /// All that it did is taken back.
    Compensated = COMPENSATED {},
    /// It can't go on by itself; a person has to look.
    Stuck = STUCK {
        /// Stable, for programs.
        code: String,
        /// For people.
        reason: String,
    },
    /// A person lets it go on.
    Resumed = RESUMED {},
}

/// Titles a schema with the event's name, like those of all events.
fn titled(mut schema: schemars::Schema, name: &str) -> schemars::Schema {
    schema.ensure_object().insert("title".to_owned(), name.into());
    schema
}

#[derive(Serialize)]
struct Stored<'a, T> {
    event: &'static str,
    #[serde(flatten)]
    fact: &'a T,
}

/// A fact with the wire names of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceEvent<N> {
    /// The fact.
    pub fact: Fact,
    names: std::marker::PhantomData<N>,
}

impl<N: Names> From<Fact> for InstanceEvent<N> {
    fn from(fact: Fact) -> Self {
        Self { fact, names: std::marker::PhantomData }
    }
}

impl<N: Names> Serialize for InstanceEvent<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fact.write::<N, S>(serializer)
    }
}

impl<'de, N: Names> Deserialize<'de> for InstanceEvent<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let payload = Value::deserialize(deserializer)?;
        let name = payload.get("event").and_then(Value::as_str).unwrap_or_default().to_owned();
        match Fact::read::<N>(&name, payload).map_err(D::Error::custom)? {
            Some(fact) => Ok(fact.into()),
            None => Err(D::Error::custom(format!("unknown event {name:?}"))),
        }
    }
}

impl<N: Names> DomainEvent for InstanceEvent<N> {
    fn event_type(&self) -> String {
        self.name().to_owned()
    }

    fn event_version(&self) -> String {
        VERSION.to_string()
    }
}

impl<N: Names> Event for InstanceEvent<N> {
    fn name(&self) -> &'static str {
        self.fact.name::<N>()
    }

    fn version(&self) -> u32 {
        VERSION
    }

    fn decode(event_type: &str, version: u32, payload: &[u8]) -> Result<Upcast<Self>, DecodeError> {
        let unreadable = |error: serde_json::Error| DecodeError::Payload {
            event_type: event_type.to_owned(),
            version,
            reason: error.to_string(),
        };
        let known = (version == VERSION).then(|| serde_json::from_slice(payload)).transpose().map_err(unreadable)?;
        let fact = known.map(|payload| Fact::read::<N>(event_type, payload)).transpose().map_err(unreadable)?.flatten();
        fact.map(|fact| Upcast::from(Self::from(fact))).ok_or_else(|| DecodeError::Unknown {
            aggregate_type: N::TYPE,
            event_type: event_type.to_owned(),
            version,
        })
    }

    fn event_types() -> Vec<EventType> {
        Fact::event_types::<N>()
    }
}
