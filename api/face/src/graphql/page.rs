//! Relay connections: opaque keyset cursors, never OFFSET.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use folding::list::{Filter, Order};
use juniper::FieldResult;
use kernel::{Refusal, Service};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Context, page_size, refuse, unlistable};
use crate::MOST_OF_A_PAGE;

/// An opaque cursor: the encoded sort key of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The cursor of a row with this sort key. It contains the name of the `order`, so that it can't be used with another order.
    pub fn new(order: &str, key: &impl Serialize) -> Self {
        Self(URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(order, key)).unwrap_or_default()))
    }

    /// The sort key in a cursor that a client sent back.
    ///
    /// # Errors
    /// `cursor_invalid` when it is not a cursor of this order.
    pub fn decode<K: DeserializeOwned>(text: &str, order: &str) -> FieldResult<K> {
        let refused =
            || refuse(Refusal::invalid("cursor_invalid", "this cursor is not from a page of this list in this order"));
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        let (of, key) = serde_json::from_slice::<(String, K)>(&bytes).map_err(|_| refused())?;
        if of == order { Ok(key) } else { Err(refused()) }
    }

    /// The cursor as text.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Which page of a list is requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest<K> {
    /// How many rows.
    pub first: u32,
    /// The page starts after the row with this sort key.
    pub after: Option<K>,
    /// Whether the client sent a cursor.
    resumed: bool,
}

impl<K: DeserializeOwned> PageRequest<K> {
    /// The default number of rows.
    pub const DEFAULT: u32 = 20;
    /// The most rows of a page.
    pub const MOST: u32 = MOST_OF_A_PAGE;

    /// Checks the arguments `first` and `after` of a connection in the order named `order`.
    ///
    /// # Errors
    /// `page_size` and `cursor_invalid`.
    pub fn new(first: Option<i32>, after: Option<&str>, order: &str) -> FieldResult<Self> {
        let first = page_size(first, Self::DEFAULT, Self::MOST)?;
        Ok(Self { first, after: after.map(|text| Cursor::decode(text, order)).transpose()?, resumed: after.is_some() })
    }

    /// How many rows to select: one more than requested shows whether there is a next page.
    pub fn limit(&self) -> i64 {
        i64::from(self.first) + 1
    }
}

/// A page of rows, each with its cursor.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<(Cursor, T)>,
    /// Whether there are rows before the page.
    pub has_previous: bool,
    /// Whether there are rows after the page.
    pub has_next: bool,
}

impl<T> Page<T> {
    /// Makes a page of the rows that were selected with [`PageRequest::limit`]; `key` gives a row's sort key.
    pub fn new<K, S: Serialize>(
        request: &PageRequest<K>,
        order: &str,
        mut rows: Vec<T>,
        key: impl Fn(&T) -> S,
    ) -> Self {
        let first = request.first as usize;
        let has_next = rows.len() > first;
        rows.truncate(first);
        let rows = rows.into_iter().map(|row| (Cursor::new(order, &key(&row)), row)).collect();
        Self { rows, has_previous: request.resumed, has_next }
    }

    /// Converts each row of the page.
    pub fn map<U>(self, make: impl Fn(T) -> U) -> Page<U> {
        let Self { rows, has_previous, has_next } = self;
        Page { rows: rows.into_iter().map(|(cursor, row)| (cursor, make(row))).collect(), has_previous, has_next }
    }

    /// The first row's cursor.
    pub fn start_cursor(&self) -> Option<&str> {
        self.rows.first().map(|(cursor, _)| cursor.0.as_str())
    }

    /// The last row's cursor.
    pub fn end_cursor(&self) -> Option<&str> {
        self.rows.last().map(|(cursor, _)| cursor.0.as_str())
    }
}

/// Reads a page of a service's list; `name` is the name of the order in cursors.
pub async fn page<F: Filter>(
    context: &Context,
    service: Service,
    filter: &F,
    (order, name): (F::Order, &str),
    first: Option<i32>,
    after: Option<String>,
) -> FieldResult<Page<F::Row>> {
    let mut request = PageRequest::new(first, after.as_deref(), name)?;
    let mut tables = context.reader(service).await?;
    let tenant = context.caller().tenant();
    let rows = folding::list::list(&mut tables, tenant, filter, order, request.after.take(), request.limit()).await;
    Ok(Page::new(&request, name, rows.map_err(unlistable)?, |row| order.seek(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_its_key_in_its_own_order_only() {
        let cursor = Cursor::new("NAME", &("Ada", 7)).into_string();
        assert_eq!(Cursor::decode::<(String, i32)>(&cursor, "NAME").unwrap(), ("Ada".to_owned(), 7));
        assert!(Cursor::decode::<(String, i32)>(&cursor, "CREATED").is_err());
        assert!(Cursor::decode::<(String, i32)>("no cursor", "NAME").is_err());
        assert!(Cursor::decode::<(i32, String)>(&cursor, "NAME").is_err());
    }

    #[test]
    fn a_page_knows_whether_more_follow() {
        let request = PageRequest::<i32>::new(Some(2), None, "NAME").unwrap();
        let page = Page::new(&request, "NAME", vec![1, 2, 3], |row| *row);
        assert_eq!((page.rows.len(), page.has_previous, page.has_next), (2, false, true));
        assert_ne!(page.start_cursor(), page.end_cursor());
        let last = PageRequest::<i32>::new(Some(2), page.end_cursor(), "NAME").unwrap();
        assert_eq!(last.after, Some(2));
        let end = Page::new(&last, "NAME", vec![3], |row| *row);
        assert!(end.has_previous && !end.has_next && end.start_cursor() == end.end_cursor());
        for refused in [0, -1, 201] {
            assert!(PageRequest::<i32>::new(Some(refused), None, "NAME").is_err());
        }
    }
}
