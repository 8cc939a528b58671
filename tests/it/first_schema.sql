-- A database as the first schema had it, with something in it: alice has three events, of which her tab
-- acked one; bob's phone is to do a full sync.
CREATE TABLE __diesel_schema_migrations (
    version VARCHAR(50) PRIMARY KEY NOT NULL,
    run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
);
INSERT INTO __diesel_schema_migrations (version) VALUES ('00000000000001');

CREATE TABLE events (
    user_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    event_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT,
    account TEXT,
    action TEXT,
    silent INTEGER NOT NULL,
    args TEXT,
    exclude_session TEXT,
    published_at BIGINT NOT NULL,
    expires_at BIGINT,
    fingerprint TEXT,
    idempotency_key TEXT,
    live INTEGER NOT NULL,
    offline INTEGER NOT NULL
);
CREATE UNIQUE INDEX events_by_place ON events (user_id, seq);
CREATE UNIQUE INDEX events_by_name ON events (event_id, user_id);
CREATE UNIQUE INDEX events_by_key ON events (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX events_by_age ON events (published_at);
CREATE TABLE users (
    user_id TEXT NOT NULL PRIMARY KEY,
    pruned_seq BIGINT NOT NULL
);
CREATE TABLE sessions (
    session_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    floor BIGINT NOT NULL,
    need_full_sync INTEGER NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    acked_at BIGINT
);
CREATE INDEX sessions_by_user ON sessions (user_id);
CREATE INDEX sessions_by_age ON sessions (seen_at);
CREATE TABLE broadcasts (
    event_id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    data TEXT,
    account TEXT,
    action TEXT,
    silent INTEGER NOT NULL,
    args TEXT,
    exclude_session TEXT,
    published_at BIGINT NOT NULL,
    expires_at BIGINT,
    fingerprint TEXT,
    idempotency_key TEXT UNIQUE,
    users BIGINT NOT NULL,
    reached TEXT NOT NULL,
    finished INTEGER NOT NULL
);
CREATE INDEX broadcasts_unfinished ON broadcasts (published_at) WHERE finished = 0;

INSERT INTO events (user_id, seq, event_id, kind, data, silent, published_at, live, offline) VALUES
    ('alice', 1, '01890000-0000-7000-8000-000000000001', 'added', '{"n":1}', 0, 4102444800000, 0, 0),
    ('alice', 2, '01890000-0000-7000-8000-000000000002', 'added', '{"n":2}', 0, 4102444800000, 0, 0),
    ('alice', 3, '01890000-0000-7000-8000-000000000003', 'added', '{"n":3}', 0, 4102444800000, 0, 0);
INSERT INTO users (user_id, pruned_seq) VALUES ('alice', 0), ('bob', 7);
INSERT INTO sessions (session_id, user_id, policy, floor, need_full_sync, created_at, seen_at, acked_at)
    VALUES ('tab', 'alice', 'replay', 1, 0, 4102444800000, 4102444800000, 4102444800000),
    ('phone', 'bob', 'full_sync', 7, 1, 4102444800000, 4102444800000, NULL);
