//! Aggregates decide and evolve; everything else about them is machinery.

use crate::{Event, Refusal};

/// A consistency boundary: a state, and the rules by which commands become events.
///
/// Implement [`decide`](Self::decide) and [`evolve`](Self::evolve) and put `kernel::aggregate!(Lead)` beside them: that gives
/// the `cqrs_es::Aggregate` which the given / when / then tests use. The executor calls `decide` itself.
pub trait Aggregate: Default + Clone + serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static {
    /// `service.aggregate`, for example `crm.lead`.
    const TYPE: &'static str;

    /// The form of the state, from 1. Raise it when the state's fields change, or what an event makes of them: snapshots of
    /// another form are ignored. A test of the gateway says when it has to be raised.
    const FORM: u32 = 1;

    /// Whether what is [`Personal`](crate::Personal) in its events is sealed in the log, under a key of each instance's own. Then an
    /// event that [erases](crate::personal::erases) destroys that key, in the same append.
    const SEALED: bool = false;

    /// Whose personal data a [`SEALED`](Self::SEALED) instance's events have, once it is in this state: the stream of a person, as
    /// `type/id`, under whose key it is sealed with all else that is theirs, and goes with it. None: the instance's own.
    fn person(&self, id: &str) -> Option<String> {
        _ = id;
        None
    }

    /// What can be asked of it.
    type Command: Send;

    /// What can happen to it.
    type Event: Event;

    /// Why it says no.
    type Error: std::error::Error + Into<Refusal> + Send + Sync + 'static;

    /// The command's consequences, given the state. Pure: no clock, no randomness, no I/O. No events: nothing to do.
    fn decide(&self, command: Self::Command) -> Result<Vec<Self::Event>, Self::Error>;

    /// The state after an event. Total: what happened, happened.
    fn evolve(&mut self, event: Self::Event);
}

/// Makes a [`kernel::Aggregate`](crate::Aggregate) a `cqrs_es::Aggregate`.
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
