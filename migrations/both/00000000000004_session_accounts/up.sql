-- The accounts its events were picked for, as a JSON array; null: all. What a token lets see
-- beyond them can only be had by a full sync.
ALTER TABLE sessions ADD COLUMN accounts TEXT;
