-- One row for each version of a pipeline, with all its stages, which are few and always read together. The current version is the open one.
CREATE TABLE pipeline_history (
    tenant_id   uuid        NOT NULL,
    pipeline_id uuid        NOT NULL,
    version     bigint      NOT NULL,
    name        text        NOT NULL COLLATE "C",
    stages      jsonb       NOT NULL,
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz NOT NULL,
    known_from  timestamptz NOT NULL,
    known_to    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, pipeline_id, version)
);

CREATE INDEX pipeline_history_current ON pipeline_history (tenant_id, name) WHERE known_to = 'infinity';
