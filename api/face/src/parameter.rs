//! Typed query parameters. They are parsed before the handler runs (and before a file is read).

use std::borrow::Cow;

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, Type};

/// The type of a query parameter.
pub trait Word: Sized + Send + Sync {
    /// Its name in the contract.
    const NAME: &'static str;

    /// Its schema in the contract.
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    /// Parses a value.
    ///
    /// # Errors
    /// An explanation for people of what is allowed.
    fn read(text: &str) -> Result<Self, String>;
}

/// The largest page size.
pub const MOST_OF_A_PAGE: u32 = 200;

/// The page size of a list: 1 to [`MOST_OF_A_PAGE`], 50 by default.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u32);

impl Default for Count {
    fn default() -> Self {
        Self(50)
    }
}

impl Count {
    /// How many items to select for a page: one more than it has, to see whether there are more.
    pub const fn selected(self) -> u32 {
        self.0 + 1
    }

    /// The page of the items that were selected, and the cursor of its last item if there are more.
    pub fn page<T, C>(self, mut selected: Vec<T>, cursor: impl FnOnce(&T) -> C) -> (Vec<T>, Option<C>) {
        let count = self.0 as usize;
        let more = selected.len() > count;
        selected.truncate(count);
        let next = selected.last().filter(|_| more).map(cursor);
        (selected, next)
    }
}

impl Word for Count {
    const NAME: &'static str = "limit";

    fn schema() -> MetaSchema {
        MetaSchema {
            default: Some(Self::default().0.into()),
            minimum: Some(1.0),
            maximum: Some(f64::from(MOST_OF_A_PAGE)),
            ..MetaSchema::new("integer")
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        let read = text.parse().ok().filter(|count| (1..=MOST_OF_A_PAGE).contains(count));
        read.map(Self).ok_or_else(|| format!("allowed is a whole number from 1 to {MOST_OF_A_PAGE}"))
    }
}

/// A parsed parameter: `Query<Option<Parameter<Source>>>`.
#[derive(Clone, Debug, Default)]
pub struct Parameter<T>(pub T);

impl<T: Word> Type for Parameter<T> {
    const IS_REQUIRED: bool = true;

    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        T::NAME.into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(T::schema()))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl<T: Word> ParseFromParameter for Parameter<T> {
    fn parse_from_parameter(text: &str) -> ParseResult<Self> {
        T::read(text).map(Self).map_err(ParseError::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_next_one_if_one_more_was_selected() {
        let page = |selected: &[u8]| Count(2).page(selected.to_vec(), |last| *last);
        assert_eq!(Count(2).selected(), 3);
        assert_eq!(page(&[7, 8, 9]), (vec![7, 8], Some(8)));
        assert_eq!(page(&[7, 8]), (vec![7, 8], None));
        assert_eq!(page(&[]), (vec![], None));
    }
}
