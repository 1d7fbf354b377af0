-- What every database has alike. `rows` is a reserved word of MySQL's.
--
-- What lists show of an experiment has columns of its own: no document of many megabytes is read for it, and no two
-- databases read JSON alike. Of reports of four megabytes and more it was never shown.

ALTER TABLE record_batch RENAME COLUMN rows TO row_count;
ALTER TABLE telemetry_sample RENAME COLUMN rows TO row_count;

ALTER TABLE experiment ADD COLUMN target TEXT;
ALTER TABLE experiment ADD COLUMN scheduled INTEGER;
ALTER TABLE experiment ADD COLUMN offered INTEGER;
UPDATE experiment SET target = json_extract(spec, '$.groups[0].target') WHERE spec IS NOT NULL AND json_valid(spec);
UPDATE experiment
SET scheduled = json_extract(report, '$.scheduled'), offered = json_extract(report, '$.offered')
WHERE length(report) < 4000000 AND json_valid(report);
