//! The [`Aggregate`] trait: the decision logic and the state of one consistency boundary. Loading, caching and appending are the executor's
//! work.

use crate::{Event, Refusal};

/// A consistency boundary: a state, and the rules by which commands become events.
///
/// Implement [`decide`](Self::decide) and [`evolve`](Self::evolve) and put `kernel::aggregate!(Lead)` beside them: that gives
/// the `cqrs_es::Aggregate` which the given / when / then tests use. The executor calls `decide` itself.
pub trait Aggregate: Default + Clone + serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {
    /// `service.aggregate`, for example `crm.lead`.
    const TYPE: &'static str;

    /// The version of the state's serialised form, from 1. Snapshots with another version are ignored, so raise it when the state's fields
    /// change, or when an event changes them in another way. A test of the gateway (`tests/gateway/states.rs`) fails when it has to be
    /// raised.
    const FORM: u32 = 1;

    /// Whether [`Personal`](crate::Personal) values in its events are stored encrypted ("sealed"), under one key for each instance. An
    /// event that [erases](crate::personal::erases) then destroys that key in the same append. It must be true if and only if there are
    /// such values; a test of the gateway (`tests/gateway/sealed.rs`) compares it with the events' schemas.
    const SEALED: bool = false;

    /// The data subject of a [`SEALED`](Self::SEALED) instance in this state, as the stream `type/id` of a person. The instance's personal
    /// data is then sealed under that person's key, together with all other personal data of that person, and becomes unreadable when that
    /// key is destroyed. `None`: the instance has a key of its own.
    fn person(&self, id: &str) -> Option<String> {
        _ = id;
        None
    }

    /// The commands that it accepts.
    type Command: Send;

    /// The events that it records.
    type Event: Event;

    /// The reasons for which it rejects a command.
    type Error: std::error::Error + Into<Refusal> + Send + Sync + 'static;

    /// Decides which events a command causes in this state. Pure: no clock, no randomness, no I/O. An empty list: there is nothing to do.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// Applies an event to the state. It cannot fail: the event has already happened.
    fn evolve(&mut self, event: Self::Event);
}

/// Implements `cqrs_es::Aggregate` for a [`kernel::Aggregate`](crate::Aggregate).
#[macro_export]
macro_rules! aggregate {
    ($aggregate:ty) => {
        impl $crate::reexport::CqrsAggregate for $aggregate {
            const TYPE: &'static str = <$aggregate as $crate::Aggregate>::TYPE;
            type Command = <$aggregate as $crate::Aggregate>::Command;
            type Event = <$aggregate as $crate::Aggregate>::Event;
            type Error = <$aggregate as $crate::Aggregate>::Error;
            type Services = ();

            async fn handle(
                &mut self,
                command: Self::Command,
                _: &Self::Services,
                sink: &$crate::reexport::EventSink<Self>,
            ) -> Result<(), Self::Error> {
                for event in $crate::Aggregate::decide(self, command)? {
                    sink.write(event, self).await;
                }
                Ok(())
            }

            fn apply(&mut self, event: Self::Event) {
                $crate::Aggregate::evolve(self, event);
            }
        }
    };
}
