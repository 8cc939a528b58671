-- Where sleeping devices are woken (RFC 8030), and when each was woken last.
CREATE TABLE pushes (
    session_id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    woken_at BIGINT
);
