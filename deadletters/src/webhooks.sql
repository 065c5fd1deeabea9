-- Forward from stream.sql: who sets an endpoint back, or removes it, forgets what is parked of it.
GRANT DELETE ON dead.letters, dead.attempts TO inopsio_{{service}}_configure;
