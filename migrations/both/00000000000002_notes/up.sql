-- Notes as they stand, and what deleted ones left behind. `fields` and `field_versions` are JSON
-- objects; `bytes` is what the fields hold, so that a page is cut without reading them.
CREATE TABLE notes (
    note_id TEXT NOT NULL PRIMARY KEY,
    owner_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    fields TEXT NOT NULL,
    field_versions TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX notes_by_owner ON notes (owner_id, updated_at, note_id);
CREATE INDEX notes_deleted ON notes (deleted_at) WHERE deleted_at IS NOT NULL;

-- With whom notes are shared, their owners apart.
CREATE TABLE note_members (
    note_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    role TEXT NOT NULL,
    added_at BIGINT NOT NULL,
    PRIMARY KEY (note_id, user_id)
);
CREATE INDEX note_members_by_user ON note_members (user_id);

-- Events of note changes that may not be in every log yet. `recipients` is a JSON array of the
-- members. A note's events are told apart by its version.
CREATE TABLE note_events (
    event_id TEXT NOT NULL PRIMARY KEY,
    note_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    recipients TEXT NOT NULL,
    exclude_session TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX note_events_by_age ON note_events (created_at, version, event_id);
