DROP TABLE note_turns;
