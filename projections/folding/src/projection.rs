//! What every read model says of itself to the projector.

use kernel::RecordedEvent;
use projector::ApplyError;
use sqlx::PgConnection;
use uuid::Uuid;

/// Declares a projection of one aggregate's events: its tables stand in `tables.sql` beside the declaration; what
/// stands after `by` writes them. `and` names single events of other aggregates that it wants, too. `counts` names the id and the
/// tables whose rows know the version of their aggregate: without it an event that follows on a discarded one looks as if it came
/// too early. What stands after `forgets by` empties the rows of whoever is erased while their events wait
/// ([`projector::Projection::forget`]). Raise the version with any change of tables or of what past events mean.
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
                Box::pin($crate::projection::pass_over(event, $id, &$counting, tables))
            })?

            $(fn forget<'a>(
                &'a self,
                event: &'a kernel::RecordedEvent,
                tables: &'a mut sqlx::PgConnection,
            ) -> futures::future::BoxFuture<'a, Result<(), projector::ApplyError>> {
                Box::pin($forget(event, tables))
            })?
        }
    };
}

/// An event that was discarded: the rows stay as they are, but for the version, on which the next event follows. Rows of history
/// go on standing for what they stood for, under the version that was passed over.
///
/// # Errors
/// What the database says.
pub async fn pass_over(
    event: &RecordedEvent,
    id: &str,
    counting: &[&str],
    tables: &mut PgConnection,
) -> Result<(), ApplyError> {
    // Another id has no rows here.
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
