//! Events that are read at once, bounded by number and by bytes.
//!
//! Most events have a few hundred bytes, but one may hold a picture: thousands of those at once would take hundreds of MiB. So whatever reads
//! many events reads them as [`Bounded`], which keeps a budget of [`PAGE_BYTES`] beside the number. Rows are taken over one by one as they
//! arrive, and none once the budget is spent; what Postgres sends beyond that is dropped by the connection, row by row. So that this is
//! little, the first statement asks for few events, and the second for as many as there is room for if they are of the same size.
//!
//! Postgres could cut a page by itself, with a running sum over it. But then each page would pay for what few of them need: a window
//! function first copies all rows into a store of its own. Here a page of small events costs one short statement more, and not even that
//! where the page before told the size.

use futures::{Stream, TryStreamExt};
use kernel::{Position, RecordedEvent};
use sqlx::postgres::PgRow;

use crate::Error;
use crate::backup::StoredEvent;
use crate::backup::snapshot::hash;
use crate::read::{EventSlice, event};

/// Bytes of payload and metadata after which no more events are read at once: the event that reaches it is the last one. So there is always
/// one, however large it is. Ten thousand events of the usual size have half of that.
pub const PAGE_BYTES: usize = 8 << 20;

/// How many events are asked for while nothing is known of their size.
const FIRST: u32 = 64;

/// What a row is read as.
pub(crate) trait Entry: Sized {
    /// Reads a row of `columns!()`, and of what the statement has beside them.
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
    /// The hash is behind the columns.
    fn read(row: &PgRow) -> Result<Self, Error> {
        Ok(Self { leaf_hash: hash(row, 12)?, event: event(row)? })
    }

    fn event(&self) -> &RecordedEvent {
        &self.event
    }
}

/// Events that follow on each other, read by at most two statements: while [`wanted`](Self::wanted) says a number, one asks for so many
/// behind the [last](Self::last), and [`take`](Self::take) takes them over.
pub(crate) struct Bounded<E> {
    entries: Vec<E>,
    bytes: usize,
    first: u32,
    /// How many more may be asked for.
    left: u32,
    statements: u8,
    /// Whether there is nothing behind what was taken.
    pub(crate) ended: bool,
}

impl<E: Entry> Bounded<E> {
    /// At most so many events, of which nothing is known.
    pub(crate) fn new(limit: u32) -> Self {
        Self::expecting(None, limit)
    }

    /// At most `limit` events, of which most likely so many [fit](Self::fits), if that is known.
    pub(crate) fn expecting(fits: Option<u32>, limit: u32) -> Self {
        let first = fits.unwrap_or(FIRST);
        Self { entries: Vec::new(), bytes: 0, first, left: limit, statements: 0, ended: false }
    }

    /// How many events the next statement is to ask for; none: this is all.
    pub(crate) fn wanted(&mut self) -> Option<u32> {
        let room = match self.statements {
            0 => self.first,
            1 if !self.ended => self.such(PAGE_BYTES.saturating_sub(self.bytes)),
            _ => 0,
        };
        let wanted = room.min(self.left);
        self.statements += 1;
        self.left -= wanted;
        (wanted > 0).then_some(wanted)
    }

    /// Takes over what a statement gives that asks for so many, until the budget is spent.
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

    /// Whether the budget is spent.
    pub(crate) const fn is_full(&self) -> bool {
        self.bytes >= PAGE_BYTES
    }

    /// How many events of this size the budget is for.
    pub(crate) fn fits(&self) -> u32 {
        self.such(PAGE_BYTES).max(1)
    }

    /// How many events of this size have so many bytes.
    fn such(&self, bytes: usize) -> u32 {
        let size = self.bytes / self.entries.len().max(1);
        u32::try_from(bytes / size.max(1)).unwrap_or(u32::MAX)
    }

    /// Where the last one stands.
    pub(crate) fn last(&self) -> Option<Position> {
        self.entries.last().map(|entry| entry.event().position)
    }

    /// What was read.
    pub(crate) fn into_entries(self) -> Vec<E> {
        self.entries
    }
}

impl Bounded<RecordedEvent> {
    /// What was read after a position.
    pub(crate) fn into_slice(self, after: Position) -> EventSlice {
        EventSlice { last: self.last().unwrap_or(after), more: !self.ended, events: self.entries }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read so far: so many events of a size.
    fn read(events: usize, size: usize, limit: u32) -> Bounded<RecordedEvent> {
        let mut bounded = Bounded::new(limit);
        assert_eq!(bounded.wanted(), Some(limit.min(FIRST)));
        bounded.entries = (0..events).map(|_| recorded(size)).collect();
        bounded.bytes = events * size;
        bounded
    }

    fn recorded(size: usize) -> RecordedEvent {
        RecordedEvent {
            tenant: testbed::tenant(),
            position: Position(1),
            event_id: uuid::Uuid::nil(),
            aggregate_type: "crm.lead".to_owned(),
            aggregate_id: "l1".to_owned(),
            sequence: 1,
            event_type: "crm.lead.captured".to_owned(),
            event_version: 1,
            payload: vec![b' '; size].into(),
            metadata: "{}".into(),
            occurred_at: chrono::DateTime::UNIX_EPOCH,
            recorded_at: chrono::DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn small_events_are_read_by_two_statements_up_to_their_number() {
        let mut small = read(64, 400, 10_000);
        assert_eq!(small.wanted(), Some(9_936));
        assert_eq!(small.wanted(), None);
        assert_eq!(read(64, 400, 64).wanted(), None, "no more than were asked for");
    }

    #[test]
    fn of_large_events_as_many_are_asked_for_as_there_is_room_for() {
        assert_eq!(read(64, 100 << 10, 10_000).wanted(), Some(17));
        assert_eq!(read(64, 128 << 10, 10_000).wanted(), None, "the budget is spent");
    }

    #[test]
    fn of_events_that_are_not_there_none_are_asked_for() {
        let mut all = read(63, 400, 10_000);
        all.ended = true;
        assert_eq!(all.wanted(), None);
    }

    #[test]
    fn what_a_page_told_of_the_size_holds_for_the_next_one() {
        assert_eq!(read(64, 400, 10_000).fits(), 20_971);
        assert_eq!(read(1, 9 << 20, 10_000).fits(), 1);
        let mut next = Bounded::<RecordedEvent>::expecting(Some(20_971), 5_000);
        assert_eq!((next.wanted(), next.wanted()), (Some(5_000), None));
    }
}
