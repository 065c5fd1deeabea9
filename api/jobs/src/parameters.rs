//! Types of the query parameters.

use face::Word;
use jobs::State;
use poem_openapi::registry::MetaSchema;

/// The state of a job.
pub struct StateName(pub State);

impl Word for StateName {
    const NAME: &'static str = "state";

    fn schema() -> MetaSchema {
        let names = State::ALL.map(|state| state.as_str().into()).to_vec();
        MetaSchema { enum_items: names, ..MetaSchema::new("string") }
    }

    fn read(text: &str) -> Result<Self, String> {
        State::named(text).map(Self).ok_or_else(|| format!("{text:?} is not a state of a job"))
    }
}
