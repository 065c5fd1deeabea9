-- The migration after tables.sql: parked events are in the schema `dead` now. The worker that acquires a projection moves them there.
GRANT DELETE ON projector.parked_aggregates, projector.parked_events TO inopsio_{{service}}_project;
