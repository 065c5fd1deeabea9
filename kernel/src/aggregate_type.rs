//! [`AggregateType`]: an aggregate as a value, for tools that handle the aggregates of all domains without knowing their Rust types.

use crate::{Aggregate, DecodeError, Event, EventType, RecordedEvent};

/// Current events (after upcasting), as JSON.
type CurrentEvents = Vec<serde_json::Value>;

/// An aggregate without its Rust type: one entry in a domain's list of aggregates.
#[derive(Clone, Copy, Debug)]
pub struct AggregateType {
    /// `service.aggregate`, for example `crm.lead`.
    pub name: &'static str,
    /// Every event type and version that its streams may hold.
    pub event_types: fn() -> Vec<EventType>,
    /// How many current events a stored event decodes to. Arguments: its type, version and payload. The error says why it can't be decoded.
    pub decode: fn(&str, u32, &[u8]) -> Result<usize, DecodeError>,
    /// The current events that a stored event decodes to, as JSON. Arguments and error as in `decode`.
    pub current_events: fn(&str, u32, &[u8]) -> Result<CurrentEvents, DecodeError>,
    /// The state, as JSON, after a stream's events from the first on.
    pub state: fn(&[RecordedEvent]) -> Result<serde_json::Value, DecodeError>,
    /// The state, as JSON, after applying further events to an earlier state.
    pub resume: fn(serde_json::Value, &[RecordedEvent]) -> Result<serde_json::Value, DecodeError>,
    /// The version of the state's serialised form: see [`Aggregate::FORM`].
    pub form: u32,
    /// Whether its personal data is sealed: see [`Aggregate::SEALED`].
    pub sealed: bool,
}

impl AggregateType {
    /// Describes the aggregate `A`.
    pub const fn of<A: Aggregate>() -> Self {
        Self {
            name: A::TYPE,
            event_types: A::Event::event_types,
            decode: decode::<A>,
            current_events: current_events::<A>,
            state: state::<A>,
            resume: resume::<A>,
            form: A::FORM,
            sealed: A::SEALED,
        }
    }
}

fn decode<A: Aggregate>(event_type: &str, version: u32, payload: &[u8]) -> Result<usize, DecodeError> {
    A::Event::decode(event_type, version, payload).map(|events| events.into_iter().count())
}

fn current_events<A: Aggregate>(event_type: &str, version: u32, payload: &[u8]) -> Result<CurrentEvents, DecodeError> {
    let events = A::Event::decode(event_type, version, payload)?.into_iter();
    events.map(|event| serde_json::to_value(&event).map_err(|error| no_json::<A>(&error))).collect()
}

fn state<A: Aggregate>(events: &[RecordedEvent]) -> Result<serde_json::Value, DecodeError> {
    evolve(A::default(), events)
}

fn resume<A: Aggregate>(state: serde_json::Value, events: &[RecordedEvent]) -> Result<serde_json::Value, DecodeError> {
    evolve::<A>(serde_json::from_value(state).map_err(|error| no_json::<A>(&error))?, events)
}

fn evolve<A: Aggregate>(mut state: A, events: &[RecordedEvent]) -> Result<serde_json::Value, DecodeError> {
    for event in events {
        event.decode()?.into_iter().for_each(|event| state.evolve(event));
    }
    serde_json::to_value(&state).map_err(|error| no_json::<A>(&error))
}

fn no_json<A: Aggregate>(error: &serde_json::Error) -> DecodeError {
    DecodeError::Payload {
        event_type: A::TYPE.to_owned(),
        version: 0,
        reason: format!("its state is no JSON: {error}"),
    }
}
