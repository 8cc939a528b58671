ALTER TABLE sessions DROP COLUMN accounts;
