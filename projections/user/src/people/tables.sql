CREATE TABLE person (
    tenant_id         uuid        NOT NULL,
    user_id           uuid        NOT NULL,
    version           bigint      NOT NULL,
    status            text        NOT NULL,
    locked            boolean     NOT NULL,
    email             text        COLLATE "C",
    user_name         text        COLLATE "C",
    external_id       text        COLLATE "C",
    formatted_name    text,
    name_told         boolean     NOT NULL,
    email_purpose     text,
    email_primary     boolean,
    phone_purpose     text,
    phone_primary     boolean,
    formatted_address text,
    address_purpose   text,
    address_primary   boolean,
    email_verified    boolean     NOT NULL,
    name              text        NOT NULL COLLATE "C",
    given_name        text,
    family_name       text,
    title             text,
    phone             text,
    phone_verified    boolean     NOT NULL,
    address           jsonb,
    picture           text,
    uploaded_picture  text,
    locale            text,
    time_zone         text,
    roles             jsonb       NOT NULL,
    groups            jsonb       NOT NULL,
    organizations     jsonb       NOT NULL,
    registered_at     timestamptz NOT NULL,
    changed_at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITH (fillfactor = 85);

-- Names are in byte order, which is the same on every machine, so that a cursor is valid on all of them.
CREATE INDEX person_by_name ON person (tenant_id, name, user_id);
CREATE INDEX person_by_registered_at ON person (tenant_id, registered_at, user_id);
CREATE INDEX person_by_email ON person (tenant_id, email) WHERE email IS NOT NULL;
CREATE INDEX person_by_external_id ON person (tenant_id, external_id) WHERE external_id IS NOT NULL;
-- Present users by id: for pages with an offset, whose skipped rows are counted in this index.
CREATE INDEX person_present ON person (tenant_id, user_id) WHERE status IN ('active', 'locked', 'deactivated');
-- Present users by name: for searches that check the first users of the list, without reading the table.
CREATE INDEX person_present_by_name ON person (tenant_id, name, user_id) WHERE status IN ('active', 'locked', 'deactivated');
CREATE INDEX person_by_user_name ON person (tenant_id, user_name) WHERE user_name IS NOT NULL;

-- The search index of users: the words of their texts, and `:role:member`, `:group:<id>`, `:organization:<id>`. A user who is not
-- active also has a word such as `:status:locked`. No word of a text begins with a colon. The entries of a word are in the order of the
-- list by name, so a page of a common word is read directly, and two words are merged. The time of registration is stored for the
-- other orders. The marks summarize all words of the user's texts: they show whether the user can have another word, too.
CREATE TABLE person_word (
    tenant_id     uuid        NOT NULL,
    word          text        NOT NULL COLLATE "C",
    present       boolean     NOT NULL,
    name          text        NOT NULL COLLATE "C",
    user_id       uuid        NOT NULL,
    registered_at timestamptz NOT NULL,
    marks_1       bigint      NOT NULL,
    marks_2       bigint      NOT NULL,
    PRIMARY KEY (tenant_id, word, present, name, user_id) INCLUDE (registered_at, marks_1, marks_2)
);

-- The words of a user: to check users one by one who are found by a rare word or are first in the list.
CREATE INDEX person_word_of ON person_word (tenant_id, user_id, word);

-- The pictures that users uploaded, which are requested by their own ids.
CREATE TABLE person_picture (
    tenant_id  uuid  NOT NULL,
    user_id    uuid  NOT NULL,
    picture_id text  NOT NULL COLLATE "C",
    format     text  NOT NULL,
    sha256     text  NOT NULL,
    file       bytea NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);

CREATE INDEX person_picture_by_id ON person_picture (tenant_id, picture_id);

-- The versions of users. There is no personal data here, so the rows remain after an erasure.
CREATE TABLE person_history (
    tenant_id  uuid        NOT NULL,
    user_id    uuid        NOT NULL,
    version    bigint      NOT NULL,
    change     text        NOT NULL,
    actor      text        NOT NULL,
    status     text        NOT NULL,
    roles      jsonb       NOT NULL,
    groups     jsonb       NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to   timestamptz NOT NULL,
    known_from timestamptz NOT NULL,
    known_to   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, version)
);
