//! Words of the query string.

use face::Word;
use jobs::State;
use poem_openapi::registry::MetaSchema;

/// The most of a page.
pub const MOST: u32 = 200;

/// How a job stands.
pub struct Standing(pub State);

/// How many.
pub struct Count(pub u32);

impl Word for Standing {
    const NAME: &'static str = "state";

    fn schema() -> MetaSchema {
        let names = State::ALL.map(|state| state.as_str().into()).to_vec();
        MetaSchema { enum_items: names, ..MetaSchema::new("string") }
    }

    fn read(text: &str) -> Result<Self, String> {
        State::named(text).map(Self).ok_or_else(|| format!("{text:?} is no state of a job"))
    }
}

impl Word for Count {
    const NAME: &'static str = "limit";

    fn schema() -> MetaSchema {
        MetaSchema { minimum: Some(1.0), maximum: Some(f64::from(MOST)), ..MetaSchema::new("integer") }
    }

    fn read(text: &str) -> Result<Self, String> {
        let read = text.parse().ok().filter(|count| (1..=MOST).contains(count));
        read.map(Self).ok_or_else(|| format!("{text:?} is not allowed; allowed is 1 to {MOST}"))
    }
}
