-- Forward from tables.sql: what is parked stands in the schema `dead` now; whoever takes a projection over moves it there.
GRANT DELETE ON projector.parked_aggregates, projector.parked_events TO inopsio_{{service}}_project;
