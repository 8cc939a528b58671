DROP TABLE note_events;
DROP TABLE note_members;
DROP TABLE notes;
