-- Forward from tables.sql: edits of before they were sealed are sealed by whoever serves.
GRANT UPDATE (before, after) ON dead.decisions TO inopsio_{{service}}_project;
