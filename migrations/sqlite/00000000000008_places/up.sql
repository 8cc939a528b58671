-- The index of the log by user is a table of its own, which the hub writes later than the log, many
-- rows at a time: one that is written with each event costs a page for every user there is something for.
-- The rows of the log have names that last (VACUUM gives others to those without a primary key).
CREATE TABLE named_events (
    id INTEGER PRIMARY KEY,
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
INSERT INTO named_events SELECT
    rowid, user_id, seq, event_id, kind, data, account, action, silent, args, exclude_session,
    published_at, expires_at, fingerprint, idempotency_key, live, offline
FROM events;
DROP TABLE events;
ALTER TABLE named_events RENAME TO events;
CREATE UNIQUE INDEX events_by_name ON events (event_id, user_id);
CREATE UNIQUE INDEX events_by_key ON events (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
CREATE INDEX events_by_age ON events (published_at);

CREATE TABLE event_places (
    user_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id INTEGER NOT NULL,
    PRIMARY KEY (user_id, seq)
) WITHOUT ROWID;
INSERT INTO event_places SELECT user_id, seq, id FROM events ORDER BY user_id, seq;
