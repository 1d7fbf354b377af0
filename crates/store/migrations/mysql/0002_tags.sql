-- What experiments are found by: the short entries of their metadata, as JSON.
--
-- Of experiments that were there before it is all of their metadata: whoever reads it takes what is short.
--
-- Every statement here may be run twice; MySQL, unlike MariaDB, adds no column under a condition.

SET @add_tags = (
    SELECT IF(count(*) = 0, 'ALTER TABLE experiment ADD COLUMN tags LONGTEXT', 'DO 0')
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'experiment' AND column_name = 'tags'
);
PREPARE add_tags FROM @add_tags;
EXECUTE add_tags;
DEALLOCATE PREPARE add_tags;
UPDATE experiment SET tags = JSON_EXTRACT(spec, '$.metadata') WHERE tags IS NULL AND JSON_VALID(spec);
