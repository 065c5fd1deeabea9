//! What every read model says of itself to the projector.

/// Declares a projection of one aggregate's events: its tables stand in `tables.sql` beside the declaration; what
/// stands after `by` writes them. Raise the version with any change of tables or of what past events mean.
#[macro_export]
macro_rules! projection {
    (
        $(#[$meta:meta])*
        pub struct $projection:ident = $name:literal @ $version:literal, tables $tables:tt, events $events:literal by $apply:expr
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
                event_type.starts_with($events)
            }

            fn apply<'a>(
                &'a self,
                events: &'a [&'a kernel::RecordedEvent],
                tables: &'a mut sqlx::PgConnection,
            ) -> futures::future::BoxFuture<'a, Result<(), projector::ApplyError>> {
                Box::pin($apply(events, tables))
            }
        }
    };
}
