-- How much of a record must be fetched before it is planned: 0 nothing, 1 all but its consents, 2 everything.
ALTER TABLE dirty ADD COLUMN owed INTEGER NOT NULL DEFAULT 0 CHECK (owed IN (0, 1, 2));
UPDATE dirty SET owed = 2 WHERE refetch = 1;
ALTER TABLE dirty DROP COLUMN refetch;
