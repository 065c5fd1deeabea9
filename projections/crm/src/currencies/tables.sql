CREATE TABLE base_currency (
    tenant_id  uuid        NOT NULL,
    version    bigint      NOT NULL,
    base       text        NOT NULL,
    valid_from timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, version)
);

-- A rate is valid from its day on. Of two rates for the same day the later version counts.
CREATE TABLE exchange_rate (
    tenant_id     uuid        NOT NULL,
    from_currency text        NOT NULL,
    to_currency   text        NOT NULL,
    day           date        NOT NULL,
    version       bigint      NOT NULL,
    rate_nanos    bigint      NOT NULL,
    known_from    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, from_currency, to_currency, day, version)
);
