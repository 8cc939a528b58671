DROP TABLE event_places;
CREATE UNIQUE INDEX events_by_place ON events (user_id, seq);
