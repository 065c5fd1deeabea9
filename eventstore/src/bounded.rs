//! [`Bounded`]: pages of events that are limited by number and by bytes.
//!
//! Most events have a few hundred bytes, but one may contain a picture: thousands of those in one page would take hundreds of MiB. So
//! whatever reads the log page by page reads it as [`Bounded`], which also limits a page to a budget of [`PAGE_BYTES`]. Rows are read one
//! by one until the budget is used up; the connection discards the rows that Postgres sends after that. To keep these few, the first
//! statement requests few events, and the second one as many as fit the rest of the budget if they have the same average size.
//!
//! Postgres could limit a page by itself, with a running sum. But a window function first copies all rows into a tuple store, so every page
//! would have a cost that only few pages need. Here a page of small events costs one more short statement, and not even that if the average
//! size is known from the previous page.

use futures::{Stream, TryStreamExt};
use kernel::{Position, RecordedEvent};
use sqlx::postgres::PgRow;

use crate::Error;
use crate::backup::StoredEvent;
use crate::backup::snapshot::hash;
use crate::read::{COLUMNS, EventSlice, event};

/// The budget of a page, in bytes of payload and metadata. The event that reaches it is the last one of the page, so a page has at least
/// one event, however large it is. Ten thousand events of the usual size need half of the budget.
pub const PAGE_BYTES: usize = 8 << 20;

/// The number of events that the first statement requests while their average size is unknown.
const FIRST: u32 = 64;

/// The type that rows are read as.
pub(crate) trait Entry: Sized {
    /// Reads a row of the `columns!()` and the statement's further columns.
    fn read(row: &PgRow) -> Result<Self, Error>;

    /// The event.
    fn event(&self) -> &RecordedEvent;
}

impl Entry for RecordedEvent {
    fn read(row: &PgRow) -> Result<Self, Error> {
        event(row)
    }

    fn event(&self) -> &RecordedEvent {
        self
    }
}

impl Entry for StoredEvent {
    /// The leaf hash is in the column after `columns!()`.
    fn read(row: &PgRow) -> Result<Self, Error> {
        Ok(Self { leaf_hash: hash(row, COLUMNS)?, event: event(row)? })
    }

    fn event(&self) -> &RecordedEvent {
        &self.event
    }
}

/// A page of consecutive events, read by at most two statements: while [`wanted`](Self::wanted) returns a number, execute a statement for
/// this many events after the [last](Self::last) one, and pass its rows to [`take`](Self::take).
pub(crate) struct Bounded<E> {
    entries: Vec<E>,
    /// The size of the entries, in bytes of payload and metadata.
    bytes: usize,
    /// The number of events that the first statement requests.
    first: u32,
    /// The number of events that may still be requested.
    left: u32,
    /// How many statements were requested.
    statements: u8,
    /// Whether there are no events after those that were read.
    pub(crate) ended: bool,
}

impl<E: Entry> Bounded<E> {
    /// A page of at most `limit` events of unknown size.
    pub(crate) fn new(limit: u32) -> Self {
        Self::expecting(None, limit)
    }

    /// A page of at most `limit` events. `fits` is the number of events that are expected to [fit](Self::fits), if that is known.
    pub(crate) fn expecting(fits: Option<u32>, limit: u32) -> Self {
        let first = fits.unwrap_or(FIRST);
        Self { entries: Vec::new(), bytes: 0, first, left: limit, statements: 0, ended: false }
    }

    /// The number of events that the next statement has to request; `None` when the page is complete.
    pub(crate) fn wanted(&mut self) -> Option<u32> {
        let room = match self.statements {
            0 => self.first,
            1 if !self.ended => self.events_in(PAGE_BYTES.saturating_sub(self.bytes)),
            _ => 0,
        };
        let wanted = room.min(self.left);
        self.statements += 1;
        self.left -= wanted;
        (wanted > 0).then_some(wanted)
    }

    /// Reads the rows of a statement that requested `wanted` events, until the budget is used up.
    pub(crate) async fn take<S>(&mut self, wanted: u32, mut rows: S) -> Result<(), Error>
    where
        S: Stream<Item = Result<PgRow, sqlx::Error>> + Unpin,
    {
        let mut taken = 0;
        while !self.is_full() {
            let Some(row) = rows.try_next().await? else {
                self.ended = taken < wanted;
                break;
            };
            let entry = E::read(&row)?;
            self.bytes += entry.event().bytes();
            self.entries.push(entry);
            taken += 1;
        }
        Ok(())
    }

    /// Whether the budget is used up.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= PAGE_BYTES
    }

    /// The number of events of this page's average size that fit a page's budget; at least one.
    pub(crate) fn fits(&self) -> u32 {
        self.events_in(PAGE_BYTES).max(1)
    }

    /// The number of events of this page's average size that fit into this many bytes.
    fn events_in(&self, bytes: usize) -> u32 {
        let size = self.bytes / self.entries.len().max(1);
        u32::try_from(bytes / size.max(1)).unwrap_or(u32::MAX)
    }

    /// The position of the last event.
    pub(crate) fn last(&self) -> Option<Position> {
        self.entries.last().map(|entry| entry.event().position)
    }

    /// The events.
    pub(crate) fn into_entries(self) -> Vec<E> {
        self.entries
    }
}

impl Bounded<RecordedEvent> {
    /// The events as a slice of the log after a position.
    pub(crate) fn into_slice(self, after: Position) -> EventSlice {
        EventSlice { last: self.last().unwrap_or(after), more: !self.ended, events: self.entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page after reading this many events of one size.
    fn read(events: usize, size: usize, limit: u32) -> Bounded<RecordedEvent> {
        let mut bounded = Bounded::new(limit);
        assert_eq!(bounded.wanted(), Some(limit.min(FIRST)));
        let event = |_| RecordedEvent { payload: vec![b' '; size].into(), ..testbed::event(1) };
        bounded.entries = (0..events).map(event).collect();
        bounded.bytes = events * size;
        bounded
    }

    #[test]
    fn small_events_are_read_by_two_statements_up_to_their_number() {
        let mut small = read(64, 400, 10_000);
        assert_eq!(small.wanted(), Some(9_936));
        assert_eq!(small.wanted(), None);
        assert_eq!(read(64, 400, 64).wanted(), None, "no more than the limit");
    }

    #[test]
    fn of_large_events_the_second_statement_requests_as_many_as_fit_the_budget() {
        assert_eq!(read(64, 100 << 10, 10_000).wanted(), Some(17));
        assert_eq!(read(64, 128 << 10, 10_000).wanted(), None, "the budget is used up");
    }

    #[test]
    fn at_the_end_of_the_log_there_is_no_second_statement() {
        let mut all = read(63, 400, 10_000);
        all.ended = true;
        assert_eq!(all.wanted(), None);
    }

    #[test]
    fn the_next_page_uses_the_average_size_of_the_previous_one() {
        assert_eq!(read(64, 400, 10_000).fits(), 20_971);
        assert_eq!(read(1, 9 << 20, 10_000).fits(), 1);
        let mut next = Bounded::<RecordedEvent>::expecting(Some(20_971), 5_000);
        assert_eq!((next.wanted(), next.wanted()), (Some(5_000), None));
    }
}
