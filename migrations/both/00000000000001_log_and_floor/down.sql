DROP TABLE broadcasts;
DROP TABLE sessions;
DROP TABLE users;
DROP TABLE events;
