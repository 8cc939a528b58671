-- Posts to webhooks that were given up: kept to be looked at and sent again.
CREATE TABLE dead_letters (
    letter_id TEXT NOT NULL PRIMARY KEY,
    target TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    failed_at BIGINT NOT NULL
);
CREATE INDEX dead_letters_by_age ON dead_letters (failed_at);
