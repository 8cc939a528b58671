-- Several nodes: the highest epoch at which a node decided changes of the notes of a slot. What was
-- decided at a lower one is not written: it comes from a node that has lost the slot.
CREATE TABLE note_turns (
    slot INTEGER NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL
);
