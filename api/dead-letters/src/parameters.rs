//! Types of the path and query parameters.

use deadletters::{Consumer, LetterId, State};
use face::Word;
use poem_openapi::registry::MetaSchema;

/// A dead letter's id.
pub struct Id(pub LetterId);

/// A consumer.
pub struct ConsumerName(pub Consumer);

/// The state of a dead letter.
pub struct StateName(pub State);

impl Word for Id {
    const NAME: &'static str = "letter";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl Word for ConsumerName {
    const NAME: &'static str = "consumer";

    fn read(text: &str) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

impl Word for StateName {
    const NAME: &'static str = "state";

    fn schema() -> MetaSchema {
        let names = State::LISTED.map(|state| state.as_str().into()).to_vec();
        MetaSchema { enum_items: names, ..MetaSchema::new("string") }
    }

    fn read(text: &str) -> Result<Self, String> {
        let found = State::LISTED.into_iter().find(|state| state.as_str() == text);
        found.map(Self).ok_or_else(|| format!("{text:?} is not a state of a dead letter"))
    }
}
