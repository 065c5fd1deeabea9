//! The macro that declares a projection.

use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use uuid::Uuid;

/// Declares a projection of the events of one aggregate type. Its DDL is in `tables.sql` beside the declaration. The function after `by`
/// applies a batch of events. `and` lists single event types of other aggregates that it wants, too. `counts` names the id column and the
/// tables whose rows have the version of their aggregate; without it, the event after a discarded one is refused because of the gap. The
/// function after `forgets by` removes personal data while the erasing event is parked ([`projector::Projection::forget`]). Raise the
/// version with every change of the tables or of the way in which past events are applied.
#[macro_export]
macro_rules! projection {
    (
        $(#[$meta:meta])*
        pub struct $projection:ident = $name:literal @ $version:literal, tables $tables:tt, events $events:literal $(and $others:tt)? by $apply:expr
        $(, counts $id:literal in $counting:tt)?
        $(, forgets by $forget:expr)?
    ) => {
        $(#[$meta])*
        pub struct $projection;

        impl projector::Projection for $projection {
            fn name(&self) -> &'static str {
                $name
            }

            fn version(&self) -> u32 {
                $version
            }

            fn ddl(&self) -> &'static str {
                include_str!("tables.sql")
            }

            fn tables(&self) -> &'static [&'static str] {
                &$tables
            }

            fn wants(&self, event_type: &str) -> bool {
                event_type.starts_with($events) $(|| $others.contains(&event_type))?
            }

            fn apply<'a>(
                &'a self,
                events: &'a [&'a kernel::RecordedEvent],
                tables: &'a mut sqlx::PgConnection,
            ) -> futures::future::BoxFuture<'a, Result<(), projector::ApplyError>> {
                Box::pin($apply(events, tables))
            }

            $(fn skip<'a>(
                &'a self,
                event: &'a kernel::RecordedEvent,
                tables: &'a mut sqlx::PgConnection,
            ) -> futures::future::BoxFuture<'a, Result<(), projector::ApplyError>> {
                Box::pin($crate::projection::skip_version(event, $id, &$counting, tables))
            })?

            $(fn forget<'a>(
                &'a self,
                event: &'a kernel::RecordedEvent,
                tables: &'a mut sqlx::PgConnection,
            ) -> futures::future::BoxFuture<'a, Result<(), projector::ApplyError>> {
                Box::pin($forget(event, tables))
            }

            fn forgets(&self) -> bool {
                true
            })?
        }
    };
}

/// Skips a discarded event: sets the version of the rows to the event's, so that the next event follows without a gap, and changes nothing
/// else. The last history row gets that version, too, and keeps its state.
///
/// # Errors
/// Errors of the database.
pub async fn skip_version(
    event: &RecordedEvent,
    id: &str,
    counting: &[&str],
    tables: &mut PgConnection,
) -> Result<(), ApplyError> {
    // An id that is not a UUID has no rows here.
    let Ok(aggregate) = event.aggregate_id.parse::<Uuid>() else { return Ok(()) };
    for table in counting {
        sqlx::query(&format!(
            "UPDATE {table} SET version = $3 WHERE tenant_id = $1 AND {id} = $2 AND version = $3 - 1"
        ))
        .bind(event.tenant.uuid())
        .bind(aggregate)
        .bind(event.sequence.cast_signed())
        .execute(&mut *tables)
        .await?;
    }
    Ok(())
}
