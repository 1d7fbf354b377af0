-- What experiments are found by: the short entries of their metadata, as JSON.
--
-- Of experiments that were there before it is all of their metadata: whoever reads it takes what is short.

ALTER TABLE experiment ADD COLUMN tags TEXT;
UPDATE experiment SET tags = (spec::json -> 'metadata')::text WHERE spec IS NOT NULL;
