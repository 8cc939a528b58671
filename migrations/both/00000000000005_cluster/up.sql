-- Several nodes: who is there, and whose the slots are. A node's lease is that of all its slots, so
-- that it is one row to renew. Times are the database's own, in Unix milliseconds.
CREATE TABLE nodes (
    number INTEGER NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    leaving INTEGER NOT NULL,
    on_bus INTEGER NOT NULL
);
-- `node` is 0 for a slot that was let go. A higher `epoch` keeps whoever had it before from writing.
CREATE TABLE slots (
    slot INTEGER NOT NULL PRIMARY KEY,
    node INTEGER NOT NULL,
    epoch BIGINT NOT NULL
);
-- The number the last node drew at its start; a number is one life of one node.
CREATE TABLE node_numbers (
    id INTEGER NOT NULL PRIMARY KEY,
    last INTEGER NOT NULL
);
